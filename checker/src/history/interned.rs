//! Words that come again on every line of a file: functions, nodes, errors.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::F;

/// The texts met so far, each kept once.
#[derive(Debug, Default)]
pub(super) struct Words {
    texts: FxHashSet<Arc<str>>,
    /// Functions that are none of the usual ones: a handful.
    functions: Vec<(Box<[u8]>, F)>,
}

impl Words {
    /// Beyond this many distinct ones they are no longer shared: error texts may each be different.
    const KEPT_MAX: usize = 4096;

    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        if self.texts.len() < Self::KEPT_MAX {
            self.texts.insert(new.clone());
        }
        new
    }

    pub(super) fn f(&mut self, name: &[u8]) -> F {
        match name {
            b"read" => F::Read,
            b"write" => F::Write,
            b"cas" => F::Cas,
            b"add" => F::Add,
            b"txn" => F::Txn,
            name => {
                if let Some((_, f)) = self.functions.iter().find(|(known, _)| **known == *name) {
                    return f.clone();
                }
                let f = F::from_name(&String::from_utf8_lossy(name));
                if self.functions.len() < 256 {
                    self.functions.push((name.into(), f.clone()));
                }
                f
            }
        }
    }
}
