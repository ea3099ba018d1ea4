//! Reaches for everything that a program may have outside a sandbox, and says what it got.

use std::io::Read;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::process::Command;
use std::{env, fs, io};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    /// Somebody listens there.
    port: Option<u16>,
    /// A file that exists.
    read: Option<String>,
    /// A file that can be written.
    write: Option<String>,
}

fn run(params: Params, _: &Clients) -> Result<Value, Error> {
    let port = params.port.unwrap_or(22);
    let read = params.read.as_deref().unwrap_or("/etc/passwd");
    let write = params.write.as_deref().unwrap_or("/tmp/taskhost-guest");
    let mut input = Vec::new();
    Ok(json!({
        "read_file": outcome(fs::read(read)),
        "write_file": outcome(fs::write(write, "x")),
        "remove_file": outcome(fs::remove_file(read)),
        "read_here": outcome(fs::read_dir(".")),
        "read_root": outcome(fs::read_dir("/")),
        "current_folder": outcome(env::current_dir()),
        "environment": env::vars_os().count(),
        "arguments": env::args_os().count(),
        "input": io::stdin().read_to_end(&mut input).unwrap_or(usize::MAX),
        "connect": outcome(TcpStream::connect(("127.0.0.1", port))),
        "listen": outcome(TcpListener::bind("127.0.0.1:0")),
        "datagram": outcome(UdpSocket::bind("127.0.0.1:0")),
        "look_up": outcome(("localhost", port).to_socket_addrs()),
        "spawn": outcome(Command::new("/bin/touch").arg(write).spawn()),
    }))
}

fn outcome<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "granted".to_owned(),
        Err(error) => format!("refused: {error}"),
    }
}

taskhost_guests::guest!("opens-things", Params, run);
