//! A drawing surface in pixels, and the colours of all pictures.
//!
//! Colours are literal in the SVG, so that a picture opened alone looks right in any viewer; the HTML report swaps
//! the neutral ones for its dark theme with CSS selectors on exactly these values (`html.rs`, `style.css`).

use plotters::{
    backend::SVGBackend,
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    element::{Circle, PathElement, Polygon, Rectangle, Text},
    style::{
        Color, FontFamily, FontStyle, RGBColor, ShapeStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// Text.
pub(super) const INK: RGBColor = RGBColor(0x1F, 0x29, 0x33);
/// Secondary text, fault bands.
pub(super) const MUTED: RGBColor = RGBColor(0x61, 0x6E, 0x7C);
/// Grid lines and frames.
pub(super) const GRID: RGBColor = RGBColor(0xE4, 0xE7, 0xEB);
/// Behind everything.
pub(super) const PANEL: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
/// The time a fault was in force.
pub(super) const BAND: RGBColor = RGBColor(0x9A, 0xA5, 0xB1);

// Okabe and Ito's palette: told apart with any common colour blindness, on white and on near-black.
/// Ended `ok`, acknowledged, primary.
pub(super) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
/// Ended `info`.
pub(super) const ORANGE: RGBColor = RGBColor(0xE6, 0x9F, 0x00);
/// Ended `fail`.
pub(super) const PURPLE: RGBColor = RGBColor(0xCC, 0x79, 0xA7);
/// What breaks a promise: lost writes, split brain.
pub(super) const VERMILLION: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
/// A second line of its own.
pub(super) const GREEN: RGBColor = RGBColor(0x00, 0x9E, 0x73);
/// Replica.
pub(super) const SKY: RGBColor = RGBColor(0x9F, 0xD3, 0xF2);

/// Where text stands relative to its point; vertically it is always centred.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Left,
    Centre,
    Right,
}

/// An SVG under construction. Drawing into a string cannot fail for any reason but a defect of the plotting library;
/// such an error is handed on all the same.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

impl<'a> Canvas<'a> {
    pub(super) fn new(svg: &'a mut String, width: i32, height: i32) -> anyhow::Result<Self> {
        let size = (u32::try_from(width)?, u32::try_from(height)?);
        let area = SVGBackend::with_string(svg, size).into_drawing_area();
        area.fill(&PANEL)?;
        Ok(Self { area })
    }

    /// Ends the document.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        Ok(self.area.present()?)
    }

    /// A filled rectangle; never thinner than a pixel, so that nothing disappears.
    pub(super) fn rect(&self, x: (i32, i32), y: (i32, i32), colour: RGBColor, alpha: f64) -> anyhow::Result<()> {
        let corners = [(x.0, y.0), (x.1.max(x.0 + 1), y.1.max(y.0 + 1))];
        Ok(self.area.draw(&Rectangle::new(corners, colour.mix(alpha).filled()))?)
    }

    /// The outline of a rectangle.
    pub(super) fn frame(&self, x: (i32, i32), y: (i32, i32), colour: RGBColor) -> anyhow::Result<()> {
        Ok(self.area.draw(&Rectangle::new([(x.0, y.0), (x.1, y.1)], ShapeStyle::from(&colour)))?)
    }

    pub(super) fn path(
        &self,
        points: impl Into<Vec<(i32, i32)>>,
        colour: RGBColor,
        alpha: f64,
        width: u32,
    ) -> anyhow::Result<()> {
        Ok(self.area.draw(&PathElement::new(points, colour.mix(alpha).stroke_width(width)))?)
    }

    pub(super) fn dot(&self, centre: (i32, i32), radius: i32, colour: RGBColor, alpha: f64) -> anyhow::Result<()> {
        Ok(self.area.draw(&Circle::new(centre, radius, colour.mix(alpha).filled()))?)
    }

    /// A triangle pointing down.
    pub(super) fn triangle(&self, (x, y): (i32, i32), half: i32, colour: RGBColor, alpha: f64) -> anyhow::Result<()> {
        let corners = [(x - half, y - half), (x + half, y - half), (x, y + half)];
        Ok(self.area.draw(&Polygon::new(corners, colour.mix(alpha).filled()))?)
    }

    pub(super) fn text(
        &self,
        text: &str,
        at: (i32, i32),
        anchor: Anchor,
        colour: RGBColor,
        size_px: f64,
    ) -> anyhow::Result<()> {
        self.styled_text(text, at, anchor, colour, size_px, FontStyle::Normal)
    }

    pub(super) fn bold_text(
        &self,
        text: &str,
        at: (i32, i32),
        anchor: Anchor,
        colour: RGBColor,
        size_px: f64,
    ) -> anyhow::Result<()> {
        self.styled_text(text, at, anchor, colour, size_px, FontStyle::Bold)
    }

    fn styled_text(
        &self,
        text: &str,
        at: (i32, i32),
        anchor: Anchor,
        colour: RGBColor,
        size_px: f64,
        style: FontStyle,
    ) -> anyhow::Result<()> {
        use plotters::style::{FontDesc, TextStyle};
        let h_pos = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Centre => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        // The backend divides by 1.24 to turn its size into CSS pixels.
        let font = FontDesc::new(FontFamily::SansSerif, size_px * 1.24, style);
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(h_pos, VPos::Center));
        Ok(self.area.draw(&Text::new(printable(text), at, style))?)
    }
}

/// Control characters are not allowed in XML even when escaped; names come from configuration and databases.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == '\u{FFFE}' || c == '\u{FFFF}' { '\u{FFFD}' } else { c }).collect()
}

/// Roughly how wide a text is, for placing labels without a font: a little more than in common sans-serif fonts.
pub(super) fn text_width(text: &str, size_px: f64) -> i32 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | 'f' | 't' | 'r' | ' ' | '.' | ',' | ':' | ';' | '\'' | '|' | '(' | ')' | '[' | ']' => 0.38,
        'm' | 'w' | 'M' | 'W' => 0.95,
        'A'..='Z' => 0.70,
        _ => 0.62,
    };
    (text.chars().map(em).sum::<f64>() * size_px).ceil() as i32
}

/// Cuts a text to at most `max` characters, ending in an ellipsis.
pub(super) fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}
