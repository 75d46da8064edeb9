//! Holds connections to a server: real sessions, authenticated, of PostgreSQL; of Redis connections that were served
//! once. Blocking and by hand: a thousand idle connections need no runtime, and what is sent fits on a line.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde::{Deserialize, Serialize};

/// How long a server has to take a connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// A server that takes longer to be full is one on a loaded machine: PostgreSQL starts a process for each connection.
const FILL_WITHIN: Duration = Duration::from_secs(8);
/// Between two looks for connections that were closed and, where it holds all, for one that became free.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How a connection is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Speaks {
    Postgres,
    Redis,
}

/// Never returns. `ready` is called once everything asked for is held, with how many connections the server has.
pub(super) fn hold(
    to: SocketAddrV4,
    speaks: Speaks,
    count: Option<u32>,
    ready: impl FnOnce(u64),
    mut waits: impl FnMut(&str),
) -> io::Result<()> {
    allow_descriptors(count)?;
    let begin = Instant::now();
    let mut held: Vec<TcpStream> = Vec::new();
    let mut ready = Some(ready);
    let mut server_has = None;
    loop {
        let (mut refused, mut is_full) = (false, false);
        while !refused && count.is_none_or(|count| held.len() < count as usize) {
            // It goes on filling; whether nobody else is served is seen from the side of those who try.
            if count.is_none()
                && begin.elapsed() > FILL_WITHIN
                && let Some(server_has) = server_has
                && let Some(ready) = ready.take()
            {
                ready(server_has);
            }
            match open(to, speaks) {
                Ok(mut stream) => {
                    if server_has.is_none() {
                        server_has = Some(capacity(&mut stream, speaks)?);
                    }
                    stream.set_nonblocking(true)?;
                    held.push(stream);
                }
                Err(error) => {
                    refused = true;
                    is_full = count.is_none() && !held.is_empty() && is_refusal(&error);
                    if ready.is_some() {
                        waits(&format!("{} held: {error}", held.len()));
                    }
                }
            }
        }
        if let (true, Some(server_has)) = (is_full || !refused, server_has)
            && let Some(ready) = ready.take()
        {
            ready(server_has);
        }
        std::thread::sleep(LOOK_AGAIN);
        drop_closed(&mut held)?;
    }
}

/// As many as the kernel lets us have; an error only where that is too few for what was asked.
fn allow_descriptors(count: Option<u32>) -> io::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const OTHERS: u64 = 64;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard.max(soft), hard)?;
    match count.map(u64::from) {
        Some(count) if count + OTHERS > hard => {
            Err(io::Error::other(format!("{count} connections are more than the {hard} descriptors of a process")))
        }
        _ => Ok(()),
    }
}

/// Whether the server sent a connection away. One that is slow, down or cut off has not.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, Other, UnexpectedEof};
    // It says why and closes; what we had sent meanwhile may make a reset of it, which overtakes the words.
    matches!(error.kind(), Other | BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn open(to: SocketAddrV4, speaks: Speaks) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&to.into(), ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_nodelay(true)?;
    match speaks {
        Speaks::Postgres => {
            stream.write_all(&startup_message())?;
            until_ready(&mut stream)?;
        }
        Speaks::Redis => {
            let answer = say(&mut stream, "PING\r\n")?;
            if !answer.starts_with("+PONG") {
                return Err(io::Error::other(answer));
            }
        }
    }
    Ok(stream)
}

/// Protocol version 3.0: length, version, pairs of names and values, an empty name.
fn startup_message() -> Vec<u8> {
    let body = b"\x00\x03\x00\x00user\0postgres\0database\0postgres\0application_name\0schism load\0\0";
    let length = u32::try_from(body.len() + 4).unwrap_or(0);
    [&length.to_be_bytes(), &body[..]].concat()
}

/// Reads messages up to `ReadyForQuery`; gives the first column of the first row, if there is one.
fn until_ready(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let until = Instant::now() + ANSWER_WITHIN;
    let mut column = None;
    while Instant::now() < until {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; (length.clamp(4, 1 << 20) - 4) as usize];
        stream.read_exact(&mut body)?;
        match head[0] {
            b'Z' => return Ok(column),
            b'E' => return Err(io::Error::other(String::from_utf8_lossy(&body).into_owned())),
            // DataRow: number of columns, then the length and the text of each.
            b'D' if column.is_none() => column = body.get(6..).map(|text| String::from_utf8_lossy(text).into_owned()),
            _ => {}
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn say(stream: &mut TcpStream, line: &str) -> io::Result<String> {
    stream.write_all(line.as_bytes())?;
    let mut answer = [0; 512];
    let length = stream.read(&mut answer)?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// How many connections the server has for everybody.
fn capacity(stream: &mut TcpStream, speaks: Speaks) -> io::Result<u64> {
    let text = match speaks {
        Speaks::Postgres => {
            let query = b"SHOW max_connections\0";
            let length = u32::try_from(query.len() + 4).unwrap_or(0);
            stream.write_all(&[b"Q", &length.to_be_bytes()[..], query].concat())?;
            until_ready(stream)?
        }
        // The second of two bulk strings.
        Speaks::Redis => say(stream, "CONFIG GET maxclients\r\n")?.lines().nth(4).map(str::to_owned),
    };
    text.and_then(|text| text.trim().parse().ok()).ok_or_else(|| io::Error::other("the server does not tell its limit"))
}

/// Reads away what servers say to idle connections, and lets go of those that they closed.
fn drop_closed(held: &mut Vec<TcpStream>) -> io::Result<()> {
    let mut polled: Vec<PollFd<'_>> =
        held.iter().map(|stream| PollFd::new(stream.as_fd(), PollFlags::POLLIN)).collect();
    if nix::poll::poll(&mut polled, PollTimeout::ZERO)? == 0 {
        return Ok(());
    }
    let said: Vec<bool> = polled.iter().map(|one| one.any().unwrap_or(true)).collect();
    let mut said = said.into_iter();
    held.retain_mut(|stream| !said.next().unwrap_or(false) || is_open(stream));
    Ok(())
}

fn is_open(stream: &mut TcpStream) -> bool {
    let mut text = [0; 4096];
    loop {
        match stream.read(&mut text) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn the_first_message_tells_its_own_length() {
        let message = startup_message();
        assert_eq!(u32::from_be_bytes(message[..4].try_into().unwrap()) as usize, message.len());
        assert_eq!(message[4..8], [0, 3, 0, 0]);
    }

    /// A server with room for two that speaks as Redis does.
    #[test]
    fn all_connections_are_held_and_one_that_is_closed_is_replaced() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let Ok(std::net::SocketAddr::V4(to)) = listener.local_addr() else { panic!() };
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || hold(to, Speaks::Redis, None, |limit| ready.send(limit).unwrap(), |_| ()));
        let mut served = Vec::new();
        let mut text = [0; 64];
        let mut serve = |served: &mut Vec<TcpStream>| {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut text).unwrap();
            if served.len() == 2 {
                stream.write_all(b"-ERR max number of clients reached\r\n").unwrap();
                return;
            }
            stream.write_all(b"+PONG\r\n").unwrap();
            if served.is_empty() {
                let _ = stream.read(&mut text).unwrap();
                stream.write_all(b"*2\r\n$10\r\nmaxclients\r\n$1\r\n2\r\n").unwrap();
            }
            served.push(stream);
        };
        (0..3).for_each(|_| serve(&mut served));
        assert_eq!(is_ready.recv().unwrap(), 2);
        served.pop();
        serve(&mut served);
        assert_eq!(served.len(), 2, "the one that was closed is there again");
    }
}
