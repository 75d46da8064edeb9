//! Connections from host to host, seen from both ends: when they are reset, and how their end arrives.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::network::Host;

/// How long a connection may take to come about: over a slow link with losses, several tries of the kernel.
const OPENED_WITHIN: Duration = Duration::from_secs(10);
/// Between two bytes of a conversation.
const TALK: Duration = Duration::from_millis(10);
/// How many connections end while it is watched; half of them by FIN.
const ENDS: u32 = 4;

/// Both ends of a new connection; the first is at `from`.
async fn open(from: &Host, to: &Host) -> Result<(TcpStream, TcpStream), String> {
    let told = |error: io::Error| format!("no connection from {} to {}: {error}", from.name, to.name);
    let address = SocketAddr::from((to.address, 0));
    let listen = to.run(move || -> io::Result<std::net::TcpListener> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    let listener = listen.await.map_err(|_| "a host's thread has ended".to_owned())?.map_err(told)?;
    let listener = TcpListener::from_std(listener).map_err(told)?;
    let port = listener.local_addr().map_err(told)?.port();
    let both = async {
        tokio::try_join!(from.connect(SocketAddrV4::new(to.address, port)), async {
            listener.accept().await.map(|(stream, _)| stream)
        })
    };
    match timeout(OPENED_WITHIN, both).await {
        Ok(both) => both.map_err(told),
        Err(_) => Err(told(io::ErrorKind::TimedOut.into())),
    }
}

/// Milliseconds until one end hears that the connection is reset.
pub(super) async fn reset_age_ms(from: &Host, to: &Host, max_ms: u64) -> Result<f64, String> {
    // It counts from its first packet.
    let begin = Instant::now();
    let (near, far) = open(from, to).await?;
    let talk = async {
        tokio::select! {
            ended = talk(near) => ended,
            ended = echo(far) => ended,
        }
    };
    match timeout(Duration::from_millis(max_ms).saturating_sub(begin.elapsed()), talk).await {
        Err(_) => Ok(max_ms as f64),
        Ok(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(begin.elapsed().as_secs_f64() * 1_000.0),
        Ok(error) => Err(format!("the connection from {} to {} ended otherwise: {error}", from.name, to.name)),
    }
}

async fn talk(mut stream: TcpStream) -> io::Error {
    loop {
        let mut byte = [0];
        let said = async {
            stream.write_all(b"x").await?;
            stream.read_exact(&mut byte).await
        };
        if let Err(error) = said.await {
            return error;
        }
        sleep(TALK).await;
    }
}

async fn echo(mut stream: TcpStream) -> io::Error {
    loop {
        let mut byte = [0];
        let answered = async {
            stream.read_exact(&mut byte).await?;
            stream.write_all(&byte).await
        };
        if let Err(error) = answered.await {
            return error;
        }
    }
}

/// Milliseconds from closing one end to seeing that at the other.
pub(super) async fn close_time_ms(from: &Host, to: &Host, max_ms: u64) -> Result<f64, String> {
    let (near, mut far) = open(from, to).await?;
    let begin = Instant::now();
    drop(near);
    match timeout(Duration::from_millis(max_ms), far.read(&mut [0])).await {
        Err(_) => Ok(max_ms as f64),
        Ok(Ok(0)) => Ok(begin.elapsed().as_secs_f64() * 1_000.0),
        Ok(Ok(_)) => Err("bytes that nobody sent".to_owned()),
        Ok(Err(error)) => Err(format!("the connection from {} to {} ended otherwise: {error}", from.name, to.name)),
    }
}

/// Percent of the ends of connections that arrive in time.
pub(super) async fn ends_seen(from: &Host, to: &Host, within_ms: u64) -> Result<f64, String> {
    let mut watched = JoinSet::new();
    for number in 0..ENDS {
        let (near, mut far) = open(from, to).await?;
        if number.is_multiple_of(2) {
            // Closing then sends RST and not FIN.
            near.set_zero_linger().map_err(|error| error.to_string())?;
        }
        drop(near);
        watched.spawn(async move { timeout(Duration::from_millis(within_ms), far.read(&mut [0])).await.is_ok() });
    }
    let seen = watched.join_all().await.into_iter().filter(|seen| *seen).count();
    Ok(100.0 * seen as f64 / f64::from(ENDS))
}
