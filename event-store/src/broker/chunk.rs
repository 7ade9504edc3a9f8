//! A piece of the log as it travels: consecutive events, and what they are the continuation of.
//!
//! A message is lines of text: a JSON object that says which positions, then the canonical text of each
//! event, so that whoever looks into a queue can read and hash it.

use ledger_core::LeafHash;
use serde::{Deserialize, Serialize};

use crate::reader::{Checkpoint, LogEntry};

/// How many events a chunk has at most.
pub const EVENTS_MAX: u32 = 500;
/// How many bytes of events.
pub const BYTES_MAX: usize = 256 * 1024;

/// Consecutive events of a log.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Which ones.
    pub header: Header,
    /// The events; none in a heartbeat.
    pub entries: Vec<LogEntry>,
}

/// Says which events are in a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The first position.
    pub from: u64,
    /// The last; `from` − 1 in a heartbeat.
    pub to: u64,
    /// The leaf hash of the event before the first: says of which history it is the continuation.
    pub previous: LeafHash,
    /// Where the log ended when this was published: for whoever looks into a queue. Projectors ask the log.
    pub head: u64,
}

/// The header as it is written.
#[derive(Serialize, Deserialize)]
struct WrittenHeader {
    from: u64,
    to: u64,
    previous: String,
    head: u64,
}

/// A message that is no chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("message is no chunk of the log")]
pub struct Malformed;

impl Header {
    /// Reads the header of a message, and returns what is behind it.
    pub fn read(body: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let end = body.iter().position(|byte| *byte == b'\n').ok_or(Malformed)?;
        let (line, rest) = (&body[..end], &body[end + 1..]);
        let WrittenHeader { from, to, previous, head } =
            serde_json::from_slice(line).map_err(|_| Malformed)?;
        let previous = previous.parse().map_err(|_| Malformed)?;
        let events = to.checked_add(1).and_then(|end| end.checked_sub(from)).ok_or(Malformed)?;
        // No position is beyond what the log's column holds.
        if from == 0 || events > u64::from(EVENTS_MAX) || to > i64::MAX.unsigned_abs() {
            return Err(Malformed);
        }
        Ok((Self { from, to, previous, head }, rest))
    }

    /// Tells whether there are no events behind it.
    pub const fn is_heartbeat(&self) -> bool {
        self.to < self.from
    }
}

impl Chunk {
    /// Takes as many of the events that follow an event as go into one message; at least one, if there
    /// is one.
    pub fn of(previous: Checkpoint, mut entries: Vec<LogEntry>, head: u64) -> Self {
        let mut bytes = 0;
        let fitting = entries.iter().take(EVENTS_MAX as usize).take_while(|entry| {
            bytes += entry.canonical.len() + 1;
            bytes <= BYTES_MAX
        });
        let fitting = fitting.count();
        entries.truncate(fitting.max(1));
        let from = previous.position + 1;
        let to = previous.position + entries.len() as u64;
        Self { header: Header { from, to, previous: previous.leaf_hash, head: head.max(to) }, entries }
    }

    /// Writes the message.
    pub fn encode(&self) -> Vec<u8> {
        let Header { from, to, previous, head } = self.header;
        let header = WrittenHeader { from, to, previous: previous.to_string(), head };
        let mut body = serde_json::to_vec(&header).unwrap_or_default();
        body.push(b'\n');
        for entry in &self.entries {
            body.extend_from_slice(entry.canonical.as_bytes());
            body.push(b'\n');
        }
        body
    }

    /// Reads the events behind a header. Their hashes are computed, not believed.
    pub fn decode(header: Header, rest: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(rest).map_err(|_| Malformed)?;
        let entries: Vec<LogEntry> = (header.from..)
            .zip(text.lines())
            .map(|(position, line)| LogEntry {
                position,
                leaf_hash: LeafHash::of(line),
                canonical: line.to_owned(),
            })
            .collect();
        if header.to + 1 - header.from == entries.len() as u64 {
            Ok(Self { header, entries })
        } else {
            Err(Malformed)
        }
    }

    /// Returns where whoever has taken it in stands.
    pub fn end(&self) -> Checkpoint {
        let Header { from, previous, .. } = self.header;
        self.entries.last().map_or(Checkpoint { position: from - 1, leaf_hash: previous }, Checkpoint::on)
    }

    /// Returns the leaf hash that the chunk has, or is the continuation of, at a position.
    pub fn leaf_hash(&self, position: u64) -> Option<LeafHash> {
        if position + 1 == self.header.from {
            return Some(self.header.previous);
        }
        let index = position.checked_sub(self.header.from)?;
        Some(self.entries.get(usize::try_from(index).ok()?)?.leaf_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(position: u64, canonical: &str) -> LogEntry {
        LogEntry { position, canonical: canonical.to_owned(), leaf_hash: LeafHash::of(canonical) }
    }

    fn after(position: u64, text: &str) -> Checkpoint {
        Checkpoint { position, leaf_hash: LeafHash::of(text) }
    }

    fn read(body: &[u8]) -> Result<Chunk, Malformed> {
        let (header, rest) = Header::read(body)?;
        Chunk::decode(header, rest)
    }

    #[test]
    fn what_is_written_is_read() {
        let previous = LeafHash::of("before");
        let chunk = Chunk::of(after(4, "before"), vec![entry(5, r#"{"a":1}"#), entry(6, r#"{"b":"é"}"#)], 9);
        assert_eq!(chunk.header, Header { from: 5, to: 6, previous, head: 9 });
        let again = read(&chunk.encode()).unwrap();
        assert_eq!(again.header, chunk.header);
        let hashes = |chunk: &Chunk| (4..8).map(|position| chunk.leaf_hash(position)).collect::<Vec<_>>();
        assert_eq!(hashes(&again), hashes(&chunk));
        assert_eq!(hashes(&again)[..2], [Some(previous), Some(LeafHash::of(r#"{"a":1}"#))]);
        assert_eq!(hashes(&again)[3], None);
    }

    #[test]
    fn a_heartbeat_has_no_events() {
        let heartbeat = Chunk::of(after(4, "x"), Vec::new(), 4);
        assert!(heartbeat.header.is_heartbeat());
        assert!(read(&heartbeat.encode()).unwrap().entries.is_empty());
    }

    #[test]
    fn a_chunk_is_bounded_but_takes_one_event_of_any_size() {
        let large = "x".repeat(BYTES_MAX / 2);
        let three = (1..=3).map(|position| entry(position, &large)).collect();
        assert_eq!(Chunk::of(Checkpoint { position: 0, leaf_hash: LeafHash::ZERO }, three, 3).header.to, 1);
        let larger = entry(1, &"x".repeat(BYTES_MAX * 2));
        assert_eq!(
            Chunk::of(Checkpoint { position: 0, leaf_hash: LeafHash::ZERO }, vec![larger], 1).header.to,
            1
        );
        let many = (1..=1000).map(|position| entry(position, "{}")).collect();
        assert_eq!(
            Chunk::of(Checkpoint { position: 0, leaf_hash: LeafHash::ZERO }, many, 1000).header.to,
            u64::from(EVENTS_MAX)
        );
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let good = Chunk::of(Checkpoint { position: 0, leaf_hash: LeafHash::ZERO }, vec![entry(1, "{}")], 1)
            .encode();
        let text = String::from_utf8(good.clone()).unwrap();
        for bad in [
            String::new(),
            "hello\n".to_owned(),
            text.replace("\"from\":1", "\"from\":0"),
            text.replace("\"to\":1", "\"to\":2"),
            text.replace("\"from\":1", "\"from\":18446744073709551615"),
            text.replace("\"to\":1", "\"to\":18446744073709551615"),
            text.replace("\"from\":1,\"to\":1", "\"from\":18446744073709551615,\"to\":18446744073709551615"),
            text.replace("\"from\":1,\"to\":1", "\"from\":1,\"to\":501"),
            text.clone() + "{}\n",
        ] {
            assert_eq!(read(bad.as_bytes()).unwrap_err(), Malformed, "{bad}");
        }
        assert!(read(&good[..good.len() - 3]).is_err());
        assert_eq!(
            read(&[b"{\"from\":1,\"to\":1}".as_slice(), &[0xff, 0xfe]].concat()).unwrap_err(),
            Malformed
        );
    }
}
