//! What tells one history from another, whatever file it lies in.

use super::{History, Mop, Value};

/// FNV-1a of 128 bits (Fowler, Noll & Vo; RFC 9923). It tells histories apart that differ by accident; it is no proof
/// against malice, and need not be: whoever re-checks a certificate re-checks it against the operations.
struct Fnv(u128);

impl Fnv {
    const fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    fn int(&mut self, int: u64) {
        self.bytes(&int.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.int(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn ints(&mut self, ints: &[i64]) {
        self.int(ints.len() as u64);
        ints.iter().for_each(|int| self.int(int.cast_unsigned()));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Nil => self.bytes(&[0]),
            Value::Int(int) => {
                self.bytes(&[1]);
                self.int(int.cast_unsigned());
            }
            // One shape for the two ways to hold two integers.
            Value::Pair(first, second) => {
                self.bytes(&[2]);
                self.ints(&[i64::from(*first), *second]);
            }
            Value::Ints(ints) => {
                self.bytes(&[2]);
                self.ints(ints);
            }
            Value::KeyedPair(triple) => {
                self.bytes(&[3]);
                self.ints(&[triple.0, triple.1, triple.2]);
            }
            Value::Txn(mops) => {
                self.bytes(&[4]);
                self.int(mops.len() as u64);
                for mop in mops.iter() {
                    match mop {
                        Mop::Append { key, element } => {
                            self.bytes(&[0]);
                            self.ints(&[*key, *element]);
                        }
                        Mop::Read { key, list } => {
                            self.bytes(&[1 + u8::from(list.is_some())]);
                            self.ints(&[*key]);
                            self.ints(list.as_deref().unwrap_or_default());
                        }
                    }
                }
            }
            Value::List(_) | Value::Other(_) => {
                self.bytes(&[5]);
                self.text(&value.to_json().to_string());
            }
        }
    }
}

impl History {
    /// Which history this is, as 32 hexadecimal digits: of its model and its operations, with their places among the
    /// events; not of times, nodes and errors, on which no verdict about an order depends.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut fnv = Fnv::new();
        fnv.text(&self.header().workload);
        fnv.int(self.len() as u64);
        for op in self.ops() {
            fnv.int(u64::from(op.process));
            fnv.text(op.f.name());
            fnv.bytes(&[op.outcome as u8, u8::from(op.is_final)]);
            fnv.int(op.invoke_index);
            fnv.int(op.complete_index.unwrap_or(u64::MAX));
            fnv.value(&self.value_of(&op));
        }
        self.symbol_texts().for_each(|text| fnv.text(text));
        format!("{:032x}", fnv.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Fnv;
    use crate::history::notation;

    #[test]
    fn is_fnv_1a() {
        // The test vector of the reference implementation for "foobar".
        let mut fnv = Fnv::new();
        fnv.bytes(b"foobar");
        assert_eq!(format!("{:032x}", fnv.0), "343e1662793c64bf6f0d3597ba446f18");
    }

    #[test]
    fn tells_histories_apart() {
        let digest = |text| notation::history("register", text).unwrap().digest();
        let one = digest("0: w 1 5; 1: r 1 5");
        assert_eq!(one, digest("0: w 1 5 t=100; 1: r 1 5 t=900"), "times do not count");
        for other in ["0: w 1 5; 1: r 1 6", "0: w 1 5; 2: r 1 5", "0: w 1 5; 1> r 1; 1?", "0> w 1 5; 1: r 1 5; 0+"] {
            assert_ne!(one, digest(other), "{other}");
        }
    }
}
