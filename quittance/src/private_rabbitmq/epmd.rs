//! epmd, the directory of a machine's Erlang nodes: no node starts without one.
//!
//! Each private node has one to itself, at a port of its own. Erlang starts it, and starts it again if it
//! has died, as a process that outlives every node; so it is told to end by the port, not by the process.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer from our own machine may take.
const PATIENCE: Duration = Duration::from_secs(1);

const NAMES_REQUEST: u8 = b'n';
const KILL_REQUEST: u8 = b'k';

/// Ends the epmd at a port and waits until it has, unless it knows nodes other than ours: someone else may
/// have the port by now.
pub(super) fn stop(port: u16, node_name: &str) {
    let Ok(names) = ask(port, NAMES_REQUEST) else { return };
    // Four bytes that repeat the port, then lines like `name quittance-1a2b3c4d at port 20001`.
    let names = String::from_utf8_lossy(names.get(4..).unwrap_or_default()).into_owned();
    let ours = format!("name {node_name} at ");
    if names.lines().all(|line| line.starts_with(&ours)) {
        // Where it fails, nobody is there any more.
        let _ = ask(port, KILL_REQUEST);
    }
}

/// Sends a request and reads until the other side closes.
fn ask(port: u16, request: u8) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // The length of the request, then the request.
    stream.write_all(&[0, 1, request])?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
