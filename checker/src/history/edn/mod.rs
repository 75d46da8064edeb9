//! EDN, the notation of Jepsen's histories.

mod read;
mod scan;
#[cfg(test)]
mod tests;
mod write;

pub(in crate::history) use read::read;
pub use write::write_event_edn;
pub(in crate::history) use write::{write_foreign_event_edn, write_rows_event_edn};

/// The value that a text is.
pub(in crate::history) fn value_of(text: &[u8]) -> Result<super::Value, String> {
    // A token ends where the next begins.
    let text = [text, b" "].concat();
    let mut cursor = scan::Cursor::new(&text);
    let value = cursor.value().and_then(|value| match cursor.peek() {
        Err(scan::Stop::CutOff) => Ok(value),
        _ => Err(cursor.malformed("more than one value")),
    });
    value.map_err(|stop| match stop {
        scan::Stop::CutOff => "the value is cut off".into(),
        scan::Stop::Malformed { message, .. } => message.into_owned(),
    })
}
