//! The protocol of Redis, in its second version, as far as an administrator needs it.

use std::fmt;
use std::io;

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A word, such as `OK`.
    Simple(String),
    /// A refusal, which begins with its code.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes, or nothing.
    Bulk(Option<Vec<u8>>),
    /// More replies, or nothing.
    Array(Option<Vec<Self>>),
}

impl Reply {
    /// The word, or the bytes where they are text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Simple(text) => Some(text),
            Self::Bulk(Some(bytes)) => std::str::from_utf8(bytes).ok(),
            Self::Bulk(None) | Self::Error(_) | Self::Integer(_) | Self::Array(_) => None,
        }
    }

    /// The refusal.
    #[must_use]
    pub const fn error(&self) -> Option<&str> {
        let Self::Error(error) = self else { return None };
        Some(error.as_str())
    }

    /// The number, also where it comes as text.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { self.text()?.parse().ok() }
    }

    /// What an array holds; nothing where it is none.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        if let Self::Array(Some(items)) = self { items } else { &[] }
    }

    /// The value after `name` in an array that alternates between the two.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.items().chunks_exact(2).find(|pair| pair.first().and_then(Self::text) == Some(name))?.last()
    }

    /// The reply itself, where it is no refusal.
    ///
    /// # Errors
    /// Where it is one.
    pub fn accepted(self) -> io::Result<Self> {
        if let Self::Error(error) = self { Err(io::Error::other(error)) } else { Ok(self) }
    }
}

/// A connection to a server, over whatever carries bytes: TCP, a Unix socket, TLS.
pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
}

impl Connection {
    /// Speaks over `stream`.
    #[must_use]
    pub fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    /// Sends a command and waits for its answer, for as long as that takes.
    ///
    /// # Errors
    /// Where there is no answer, or one that no server gives; a refusal is an answer.
    pub async fn command<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Reply> {
        self.send(words).await?;
        self.reply().await
    }

    /// Sends a command.
    ///
    /// # Errors
    /// Where the connection is broken.
    pub async fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<()> {
        self.stream.write_all(&encode(words)).await?;
        self.stream.flush().await
    }

    /// Waits for the next answer.
    ///
    /// # Errors
    /// Where there is none, or one that no server gives.
    pub async fn reply(&mut self) -> io::Result<Reply> {
        decode(&mut self.stream, DEPTH_MAX).await
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A command, as an array of bulk strings.
fn encode<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// A reply with at most `depth` arrays around it.
async fn decode(from: &mut (impl AsyncBufRead + Unpin + Send), depth: usize) -> io::Result<Reply> {
    let line = line(from).await?;
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| invalid("an empty line"))?;
    match kind {
        "+" => Ok(Reply::Simple(rest.to_owned())),
        "-" => Ok(Reply::Error(rest.to_owned())),
        ":" => Ok(Reply::Integer(rest.parse().map_err(|_| invalid(rest))?)),
        "$" => Ok(Reply::Bulk(match length(rest, BULK_MAX)? {
            Some(length) => Some(bulk(from, length).await?),
            None => None,
        })),
        "*" => {
            let depth = depth.checked_sub(1).ok_or_else(|| invalid("arrays too deep"))?;
            let Some(length) = length(rest, ITEMS_MAX)? else { return Ok(Reply::Array(None)) };
            let mut items = Vec::new();
            for _ in 0..length {
                items.push(Box::pin(decode(from, depth)).await?);
            }
            Ok(Reply::Array(Some(items)))
        }
        other => Err(invalid(other)),
    }
}

/// The next line, without its end.
async fn line(from: &mut (impl AsyncBufRead + Unpin + Send)) -> io::Result<String> {
    let mut line = String::new();
    from.take(LINE_MAX).read_line(&mut line).await?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None if line.len() as u64 == LINE_MAX => Err(invalid("a line too long")),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A length up to `most`; none where the value is null.
fn length(text: &str, most: usize) -> io::Result<Option<usize>> {
    if text == "-1" {
        return Ok(None);
    }
    let length = text.parse().ok().filter(|length| *length <= most);
    length.map(Some).ok_or_else(|| invalid(text))
}

async fn bulk(from: &mut (impl AsyncBufRead + Unpin + Send), length: usize) -> io::Result<Vec<u8>> {
    // What was promised is not set aside before it comes.
    let mut bytes = Vec::new();
    from.take(length as u64).read_to_end(&mut bytes).await?;
    let mut end = [0; 2];
    from.read_exact(&mut end).await?;
    if bytes.len() == length && end == *b"\r\n" { Ok(bytes) } else { Err(invalid("bytes without an end")) }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no reply of a Redis server: {what:?}"))
}

const DEPTH_MAX: usize = 8;
const LINE_MAX: u64 = 64 * 1024;
const BULK_MAX: usize = 512 * 1024 * 1024;
const ITEMS_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    async fn decoded(mut bytes: &[u8]) -> io::Result<Reply> {
        decode(&mut bytes, DEPTH_MAX).await
    }

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        assert_eq!(encode(&["GET", "é"]), "*2\r\n$3\r\nGET\r\n$2\r\né\r\n".as_bytes());
    }

    #[tokio::test]
    async fn every_kind_of_reply_is_read() {
        let bytes = b"*6\r\n+OK\r\n-ERR no\r\n:-7\r\n$4\r\na\r\nb\r\n$-1\r\n*-1\r\n";
        let expected = vec![
            Reply::Simple("OK".to_owned()),
            Reply::Error("ERR no".to_owned()),
            Reply::Integer(-7),
            Reply::Bulk(Some(b"a\r\nb".to_vec())),
            Reply::Bulk(None),
            Reply::Array(None),
        ];
        assert_eq!(decoded(bytes).await.expect("a reply"), Reply::Array(Some(expected)));
    }

    #[tokio::test]
    async fn what_no_server_says_is_an_error() {
        let deep = "*1\r\n".repeat(DEPTH_MAX + 1);
        let long = "+".repeat(70_000);
        for text in ["", "\r\n", "+OK", "?1\r\n", ":x\r\n", "$-2\r\n", "$2\r\nab", "$2\r\nabc\r\n", "$5\r\nab\r\n"] {
            assert!(decoded(text.as_bytes()).await.is_err(), "{text:?}");
        }
        for text in ["$999999999999\r\n", "*999999999\r\n", &deep, &long] {
            assert_eq!(decoded(text.as_bytes()).await.unwrap_err().kind(), io::ErrorKind::InvalidData, "{text:.20}");
        }
    }

    #[test]
    fn a_field_is_the_value_after_its_name() {
        let bulk = |text: &str| Reply::Bulk(Some(text.as_bytes().to_vec()));
        let reply = Reply::Array(Some(vec![bulk("a"), bulk("1"), bulk("b"), bulk("2")]));
        assert_eq!(reply.field("b").and_then(Reply::integer), Some(2));
        assert_eq!(reply.field("1"), None);
    }
}
