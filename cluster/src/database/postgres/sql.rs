//! Simple queries over one connection.

use tokio::net::TcpStream;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::link::Protocol;

/// One row, as text.
pub(super) type Row = Vec<Option<String>>;

/// A connection as superuser.
pub(crate) struct Sql(Client);

impl Protocol for Sql {
    type Question = String;
    type Answer = Vec<Row>;

    async fn open(stream: TcpStream) -> Result<Self, String> {
        let mut config = Config::new();
        config.user("postgres").dbname("postgres").application_name("schism");
        let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(describe)?;
        // Its error is also the error of whatever is asked next.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self(client))
    }

    async fn ask(&mut self, sql: String) -> Result<Vec<Row>, String> {
        let messages = self.0.simple_query(&sql).await.map_err(describe)?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(ToOwned::to_owned)).collect())
            }
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }
}

fn describe(error: tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |database| database.message().to_owned())
}

/// A column of the first row; empty when null or absent.
pub(super) fn text(rows: &[Row], column: usize) -> &str {
    rows.first().and_then(|row| row.get(column)?.as_deref()).unwrap_or("")
}

/// A quoted literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
