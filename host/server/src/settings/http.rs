//! The HTTP interface: where it listens, and how much it takes.

use std::net::SocketAddr;
use std::time::Duration;

use super::reader::Reader;
use super::{seconds, size};

const LISTEN: &str = "listen";

/// The HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where to listen; always loopback. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// Time for a request's head to arrive.
    pub header_timeout: Duration,
    /// Time for the next part of a request's body to arrive.
    pub body_timeout: Duration,
}

pub(super) fn http(reader: &mut Reader<'_>, _has_people: bool) -> HttpSettings {
    let default = SocketAddr::from(([127, 0, 0, 1], 7700));
    let listen = reader.address(LISTEN, default);
    if !listen.ip().is_loopback() {
        let port = match listen.port() {
            0 => default.port(),
            port => port,
        };
        let problem = format!(
            "is {listen}, and has to be a loopback address: this host knows no users, and would \
             let in everybody who can reach it. Listen on 127.0.0.1:{port}; from another machine, \
             go through `ssh -L {port}:127.0.0.1:{port} THIS_MACHINE`"
        );
        reader.contradiction(LISTEN, problem);
    }
    HttpSettings {
        listen,
        connections_max: size(reader, "http.connections_max", 1024, 100_000),
        header_timeout: seconds(reader, "http.header_timeout_s", 10, 3600),
        body_timeout: seconds(reader, "http.body_timeout_s", 30, 3600),
    }
}
