//! A request to a node as an activity, from the client site beside it.

use std::{io, time::Duration};

use schism_cluster::Cluster;
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use crate::experiment::Http;

/// A longer answer is refused: half of a body is another one.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
/// For a connection and for an answer without a time of their own; the run's time ends both.
const NO_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Asks: status, headers, body.
pub(super) async fn ask(cluster: &Cluster, http: &Http) -> Result<Value, String> {
    let site = cluster.node_names().iter().position(|name| *name == http.node).unwrap_or(0);
    let (connect, answer) = http.timeouts.unwrap_or((NO_LIMIT, NO_LIMIT));
    let late = |_| "activity took too long to complete".to_owned();
    let failed = |error: io::Error| format!("failed to connect to {}: {error}", http.url);
    let stream = timeout(connect, cluster.dial(site as u32, &http.node, http.port)).await.map_err(late)?;
    timeout(answer, exchange(stream.map_err(failed)?, http)).await.map_err(late)?
}

/// HTTP 1.0, in which an answer ends with its connection.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, http: &Http) -> Result<Value, String> {
    let failed = |error: io::Error| format!("failed to connect to {}: {error}", http.url);
    let mut request = format!("{} {} HTTP/1.0\r\n", http.method, http.target);
    for (name, value) in &http.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !http.body.is_empty() || !["GET", "HEAD"].contains(&&*http.method) {
        request.push_str(&format!("Content-Length: {}\r\n", http.body.len()));
    }
    request.push_str("Connection: close\r\n\r\n");
    stream.write_all(&[request.as_bytes(), &http.body].concat()).await.map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer).await.map_err(failed)?;
    if answer.len() as u64 > ANSWER_BYTES_MAX {
        return Err(format!("the answer of {} is longer than {ANSWER_BYTES_MAX} bytes", http.url));
    }
    parse(&answer, &http.method).map_err(|problem| format!("{}: {problem}", http.url))
}

fn parse(answer: &[u8], method: &str) -> Result<Value, String> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or("the answer is not HTTP")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().filter(|line| line.starts_with("HTTP/1.")).and_then(|line| line.split(' ').nth(1));
    let status: u16 = status.and_then(|status| status.parse().ok()).ok_or("the answer is not HTTP")?;
    let mut headers: Map<String, Value> = Map::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("{line:?} is no header"))?;
        let known = headers.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned();
        let before = known.as_ref().and_then(|known| headers[known].as_str());
        let value = before.map_or_else(|| value.trim().to_owned(), |before| format!("{before}, {}", value.trim()));
        headers.insert(known.unwrap_or_else(|| name.to_owned()), value.into());
    }
    let header = |wanted: &str| {
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).and_then(|(_, value)| value.as_str())
    };
    let body = &answer[end + 4..];
    if header("Transfer-Encoding").is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err("it answers in pieces, which HTTP 1.0 does not have".to_owned());
    }
    let promised = header("Content-Length").and_then(|length| length.parse::<usize>().ok());
    if method != "HEAD" && promised.is_some_and(|promised| promised > body.len()) {
        return Err(format!("the answer ended after {} bytes", body.len()));
    }
    let body = match header("Content-Type") {
        Some("application/json") if method != "HEAD" => {
            serde_json::from_slice(body).map_err(|error| format!("its body is no JSON: {error}"))?
        }
        _ => Value::from(String::from_utf8_lossy(body)),
    };
    Ok(json!({"status": status, "headers": headers, "body": body}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let got = parse(b"HTTP/1.1 503 Busy\r\nServer: x\r\nVary: a\r\nvary: b\r\n\r\nnot primary", "GET").unwrap();
        assert_eq!(got, json!({"status": 503, "headers": {"Server": "x", "Vary": "a, b"}, "body": "not primary"}));
        let json =
            parse(b"HTTP/1.0 200 OK\r\nContent-type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}", "GET");
        assert_eq!(json.unwrap()["body"], json!({"a": 1}));
        let head = parse(b"HTTP/1.0 200 OK\r\nContent-type: application/json\r\nContent-Length: 7\r\n\r\n", "HEAD");
        assert_eq!(head.unwrap()["body"], "");
        for (wrong, why) in [
            (&b"PONG"[..], "not HTTP"),
            (b"-ERR x\r\n\r\n", "not HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nabc", "ended after 3 bytes"),
            (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\nabc", "no JSON"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "in pieces"),
        ] {
            let problem = parse(wrong, "GET").unwrap_err();
            assert!(problem.contains(why), "{problem}");
        }
    }

    #[tokio::test]
    async fn a_request_is_written_as_it_was_asked() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let server = tokio::spawn(async move {
            let mut request = [0; 1024];
            let length = theirs.read(&mut request).await.unwrap();
            theirs.write_all(b"HTTP/1.0 201 Made\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let http = Http {
            url: "http://n1:80/a?b=c".to_owned(),
            node: "n1".to_owned(),
            port: 80,
            method: "POST".to_owned(),
            target: "/a?b=c".to_owned(),
            headers: vec![("Host".to_owned(), "n1:80".to_owned()), ("X".to_owned(), "y".to_owned())],
            body: b"k=v".to_vec(),
            timeouts: None,
        };
        assert_eq!(exchange(ours, &http).await.unwrap()["status"], 201);
        let request = server.await.unwrap();
        let wanted = "POST /a?b=c HTTP/1.0\r\nHost: n1:80\r\nX: y\r\nContent-Length: 3\r\nConnection: close\r\n\r\nk=v";
        assert_eq!(request, wanted);
    }
}
