//! Commands over one connection, and what is read from their answers.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value};
use tokio::net::TcpStream;

use crate::link::Protocol;

/// A connection to a Redis server or a Sentinel.
pub(crate) struct Commands(MultiplexedConnection);

impl Protocol for Commands {
    type Question = Vec<String>;
    type Answer = Value;

    async fn open(stream: TcpStream) -> Result<Self, String> {
        let server = RedisConnectionInfo::default().set_skip_set_lib_name();
        // Whoever asks sets the limit.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let opened = MultiplexedConnection::new_with_config(&server, stream, config).await;
        let (connection, driver) = opened.map_err(|error| error.to_string())?;
        tokio::spawn(driver);
        Ok(Self(connection))
    }

    async fn ask(&mut self, question: Vec<String>) -> Result<Value, String> {
        let mut command = Cmd::new();
        command.arg(question);
        self.0.send_packed_command(&command).await.map_err(|error| error.to_string())
    }
}

/// A command from words.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

pub(super) fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        _ => &[],
    }
}

/// A field of a flat list of names and values.
pub(super) fn field(value: &Value, name: &str) -> Option<String> {
    let pair = items(value).chunks_exact(2).find(|pair| text(&pair[0]).as_deref() == Some(name))?;
    text(&pair[1])
}

/// The answer to `ROLE`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    Master { offset: i64 },
    Replica { master: String, state: String, offset: i64 },
}

impl Role {
    pub(super) fn parse(value: &Value) -> Option<Self> {
        let item = |index: usize| items(value).get(index).and_then(text);
        match item(0)?.as_str() {
            "master" => Some(Self::Master { offset: item(1)?.parse().ok()? }),
            "slave" => Some(Self::Replica { master: item(1)?, state: item(3)?, offset: item(4)?.parse().ok()? }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn reads_roles() {
        let master = Value::Array(vec![bulk("master"), Value::Int(42), Value::Array(vec![])]);
        assert_eq!(Role::parse(&master), Some(Role::Master { offset: 42 }));
        let state = [bulk("slave"), bulk("10.84.0.1"), Value::Int(6379), bulk("connected"), Value::Int(7)];
        let replica = Role::Replica { master: "10.84.0.1".to_owned(), state: "connected".to_owned(), offset: 7 };
        assert_eq!(Role::parse(&Value::Array(state.to_vec())), Some(replica));
        assert_eq!(Role::parse(&Value::Array(vec![bulk("sentinel")])), None);
    }

    #[test]
    fn reads_fields() {
        let flat = Value::Array(vec![bulk("name"), bulk("mymaster"), bulk("config-epoch"), bulk("3")]);
        assert_eq!(field(&flat, "config-epoch").as_deref(), Some("3"));
        assert_eq!(field(&flat, "mymaster"), None);
    }
}
