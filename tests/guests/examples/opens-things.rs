//! Reaches for everything that a program may have outside a sandbox, and says what it got.

use std::io::Read;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::{env, fs, io};

use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

fn run(_: Value, _: &Clients) -> Result<Value, Error> {
    let mut input = Vec::new();
    Ok(json!({
        "read_file": outcome(fs::read("/etc/passwd")),
        "write_file": outcome(fs::write("/tmp/taskhost-guest", "x")),
        "read_here": outcome(fs::read_dir(".")),
        "read_root": outcome(fs::read_dir("/")),
        "current_folder": outcome(env::current_dir()),
        "environment": env::vars_os().count(),
        "arguments": env::args_os().count(),
        "input": io::stdin().read_to_end(&mut input).unwrap_or(usize::MAX),
        "connect": outcome(TcpStream::connect("127.0.0.1:22")),
        "listen": outcome(TcpListener::bind("127.0.0.1:0")),
        "datagram": outcome(UdpSocket::bind("127.0.0.1:0")),
        "look_up": outcome(("localhost", 80).to_socket_addrs()),
    }))
}

fn outcome<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "granted".to_owned(),
        Err(error) => format!("refused: {error}"),
    }
}

taskhost_guests::guest!("opens-things", Value, run);
