//! RESP2, Redis' protocol, over one connection.
//!
//! Replies are read piece by piece and not through the `redis` crate's parser, because a set of millions of elements
//! has to become integers without becoming a tree of byte strings first.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Room for one more read. Larger than most replies, smaller than what a thousand connections would feel.
const READ_BYTES: usize = 16 * 1024;
/// Nothing that we ask for has longer strings; a length beyond it is garbage, not a reason to allocate.
const STRING_BYTES_MAX: usize = 1 << 20;

/// Why no reply could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("{0}")]
    Lost(#[from] io::Error),
    #[error("not a reply to this command: {0}")]
    Garbled(String),
}

/// The head of a reply; what follows it is read by its own method.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Status,
    Int(i64),
    Error(String),
    /// A string of so many bytes follows; `None`: null.
    Bulk(Option<usize>),
    /// So many replies follow.
    Array(usize),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of the buffer already used.
    used: usize,
    /// Nothing more can be expected of it.
    pub(crate) broken: bool,
}

impl Wire {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new(), used: 0, broken: false }
    }

    /// Whether it can still be used, as far as is known without sending anything: the server may have closed it, or
    /// said something unasked, which it does before closing.
    pub(crate) fn check_idle(&mut self) -> bool {
        let mut byte = [0];
        if !self.broken {
            let silent =
                matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
            self.broken = !silent || self.used < self.buffer.len();
        }
        !self.broken
    }

    pub(crate) async fn send(&mut self, packed: &[u8]) -> Result<(), WireError> {
        let sent = self.stream.write_all(packed).await;
        self.broken |= sent.is_err();
        Ok(sent?)
    }

    /// The head of the next reply.
    pub(crate) async fn head(&mut self) -> Result<Head, WireError> {
        let line = self.line().await?;
        let head = match line.split_first() {
            Some((b'+', _)) => Some(Head::Status),
            Some((b'-', text)) => Some(Head::Error(String::from_utf8_lossy(text).into_owned())),
            Some((b':', digits)) => parse(digits).map(Head::Int),
            Some((b'$', b"-1")) => Some(Head::Bulk(None)),
            Some((b'$', digits)) => {
                let length = parse(digits).and_then(|length| usize::try_from(length).ok());
                length.filter(|&length| length <= STRING_BYTES_MAX).map(|length| Head::Bulk(Some(length)))
            }
            Some((b'*', digits)) => parse(digits).and_then(|count| usize::try_from(count).ok()).map(Head::Array),
            _ => None,
        };
        if let Some(head) = head {
            return Ok(head);
        }
        let line = String::from_utf8_lossy(line).into_owned();
        Err(self.garbled(line))
    }

    /// The string whose head said it has this length, as an integer.
    pub(crate) async fn int_of(&mut self, length: usize) -> Result<i64, WireError> {
        while self.buffer.len() - self.used < length + 2 {
            self.fill().await?;
        }
        let start = self.used;
        self.used += length + 2;
        let bytes = &self.buffer[start..start + length];
        if let Some(number) = parse(bytes) {
            return Ok(number);
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        Err(self.garbled(format!("{text:?} is not an integer")))
    }

    /// The integers of an array whose head said it has so many, appended to `into`.
    pub(crate) async fn ints_of(&mut self, count: usize, into: &mut Vec<i64>) -> Result<(), WireError> {
        for _ in 0..count {
            match self.head().await? {
                Head::Bulk(Some(length)) => into.push(self.int_of(length).await?),
                Head::Int(number) => into.push(number),
                other => return Err(self.garbled(format!("{other:?} among integers"))),
            }
        }
        Ok(())
    }

    /// The server and we no longer agree on where a reply begins.
    pub(crate) fn garbled(&mut self, text: String) -> WireError {
        self.broken = true;
        WireError::Garbled(text)
    }

    /// The next line without its end.
    async fn line(&mut self) -> Result<&[u8], WireError> {
        let mut searched = self.used;
        let end = loop {
            if let Some(offset) = self.buffer[searched..].windows(2).position(|pair| pair == b"\r\n") {
                break searched + offset;
            }
            // `fill` may move what is not used yet to the front.
            let unused = self.buffer.len() - self.used;
            self.fill().await?;
            searched = self.used + unused.saturating_sub(1);
        };
        let start = self.used;
        self.used = end + 2;
        Ok(&self.buffer[start..end])
    }

    async fn fill(&mut self) -> Result<(), WireError> {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.buffer).await;
        self.broken |= !matches!(read, Ok(1..));
        match read? {
            0 => Err(WireError::Lost(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the server"))),
            _ => Ok(()),
        }
    }
}

fn parse(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A wire that brings these bytes, so many at a time, and then ends.
    async fn wire(bytes: &'static [u8], at_a_time: usize) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            for part in bytes.chunks(at_a_time) {
                server.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        Wire::new(stream)
    }

    #[tokio::test]
    async fn replies_are_whole_however_they_are_cut() {
        for at_a_time in 1..12 {
            let bytes = b"+OK\r\n:-42\r\n-READONLY no\r\n$-1\r\n$3\r\n-17\r\n*3\r\n$1\r\n1\r\n:2\r\n$2\r\n33\r\n";
            let mut wire = wire(bytes, at_a_time).await;
            assert_eq!(wire.head().await.unwrap(), Head::Status);
            assert_eq!(wire.head().await.unwrap(), Head::Int(-42));
            assert_eq!(wire.head().await.unwrap(), Head::Error("READONLY no".to_owned()));
            assert_eq!(wire.head().await.unwrap(), Head::Bulk(None));
            assert_eq!(wire.head().await.unwrap(), Head::Bulk(Some(3)));
            assert_eq!(wire.int_of(3).await.unwrap(), -17);
            assert_eq!(wire.head().await.unwrap(), Head::Array(3));
            let mut numbers = vec![0];
            wire.ints_of(3, &mut numbers).await.unwrap();
            assert_eq!(numbers, [0, 1, 2, 33]);
            assert!(matches!(wire.head().await, Err(WireError::Lost(_))));
            assert!(wire.broken);
        }
    }

    #[tokio::test]
    async fn garbage_is_no_reply() {
        for bytes in [&b"hello\r\n"[..], b":x\r\n", b"$99999999999\r\n", b"*-3\r\n", b"\r\n"] {
            let mut wire = wire(bytes, 64).await;
            assert!(matches!(wire.head().await, Err(WireError::Garbled(_))), "{bytes:?}");
            assert!(wire.broken);
        }
        let mut wire = wire(b"*1\r\n$1\r\nx\r\n", 64).await;
        assert_eq!(wire.head().await.unwrap(), Head::Array(1));
        assert!(matches!(wire.ints_of(1, &mut Vec::new()).await, Err(WireError::Garbled(_))));
    }
}
