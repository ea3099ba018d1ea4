//! The HTTP interface: where it listens, and how much it takes.

use std::net::SocketAddr;
use std::time::Duration;

use super::reader::Reader;
use super::tls::{CERT as TLS_CERT, TlsSettings, tls};
use super::{seconds, size};

const LISTEN: &str = "listen";
const BEHIND_PROXY: &str = "behind_proxy";

/// The HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where to listen: loopback; or anywhere, for people alone, with TLS or behind a proxy that
    /// speaks it. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Everything that comes has come through a proxy, which says from where.
    pub behind_proxy: bool,
    /// With what it speaks TLS itself.
    pub tls: Option<TlsSettings>,
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// Requests of one person, or of one address, a second.
    pub requests_a_second: u64,
    /// Time for a request's head to arrive.
    pub header_timeout: Duration,
    /// Time for the next part of a request's body to arrive.
    pub body_timeout: Duration,
    /// Time for a client to take the next part of an answer.
    pub write_timeout: Duration,
}

/// Who is asked who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum People {
    /// Nobody: there is one user.
    One,
    /// Those of a cluster, or whoever has a token.
    Known,
}

pub(super) fn http(reader: &mut Reader<'_>, people: People) -> HttpSettings {
    let default = SocketAddr::from(([127, 0, 0, 1], 7700));
    let listen = reader.address(LISTEN, default);
    let behind_proxy = reader.flag(BEHIND_PROXY, false);
    let (is_tls, tls) = tls(reader);
    let is_hidden = behind_proxy || is_tls;
    let problem = match people {
        People::One if !listen.ip().is_loopback() => {
            Some((LISTEN, open_to_all(listen, default.port())))
        }
        People::Known if !listen.ip().is_loopback() && !is_hidden => {
            Some((LISTEN, open_with_people(listen)))
        }
        People::One if is_tls => Some((TLS_CERT, tls_for_nobody())),
        _ => None,
    };
    if let Some((key, problem)) = problem {
        reader.contradiction(key, problem);
    }
    HttpSettings {
        listen,
        behind_proxy,
        tls,
        connections_max: size(reader, "http.connections_max", 1024, 100_000),
        requests_a_second: reader.number("http.requests_a_second", 5_000, 1..=1_000_000),
        header_timeout: seconds(reader, "http.header_timeout_s", 10, 3600),
        body_timeout: seconds(reader, "http.body_timeout_s", 30, 3600),
        write_timeout: seconds(reader, "http.write_timeout_s", 60, 3600),
    }
}

fn open_to_all(listen: SocketAddr, default: u16) -> String {
    let port = match listen.port() {
        0 => default,
        port => port,
    };
    format!(
        "is {listen}, and has to be a loopback address: this host knows no users, and would let \
         in everybody who can reach it. Say `identity = \"tokens\"`, so that nobody comes in \
         without a token (the first start prints one for an admin), and give it `tls_cert` and \
         `tls_key`, or `{BEHIND_PROXY} = true` where a proxy before it speaks TLS. Or listen on \
         127.0.0.1:{port}; from another machine, go through `ssh -L {port}:127.0.0.1:{port} \
         THIS_MACHINE`"
    )
}

fn open_with_people(listen: SocketAddr) -> String {
    format!(
        "is {listen}, where people's passwords and tokens would come unencrypted: give the host \
         `tls_cert` and `tls_key`; or listen on loopback, with a proxy before it that speaks TLS; \
         or say `{BEHIND_PROXY} = true` where everything that reaches this address comes from such \
         a proxy"
    )
}

fn tls_for_nobody() -> String {
    "is for a host that others reach, and this one is for one user on loopback: say \
     `identity = \"tokens\"`"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{File, Flags, Mistake, Settings};

    fn read(text: &str) -> Result<(), Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let variable = |name: &str| match name {
            "TASKHOST_KEY" => Some("0".repeat(64)),
            "TASKHOST_ELASTICSEARCH_API_KEY" => Some("aWQ6a2V5".to_owned()),
            _ => None,
        };
        let read = Settings::read(Some(&file), &variable, Flags::default());
        read.map(drop)
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn off_loopback_a_host_listens_for_people_and_encrypted_alone() {
        let (open, elastic) = ("listen = \"0.0.0.0:7700\"\n", "store = \"elasticsearch\"\n");
        let (proxy, tokens) = ("behind_proxy = true\n", "identity = \"tokens\"\n");
        for (text, problem) in [
            (open.to_owned(), "Say `identity = \"tokens\"`"),
            (format!("{open}{proxy}"), "Say `identity = \"tokens\"`"),
            (format!("{open}{elastic}"), "would come unencrypted"),
            (format!("{open}{tokens}"), "would come unencrypted"),
        ] {
            let said = read(&text).unwrap_err();
            assert_eq!(said.len(), 1, "{said:#?}");
            assert!(
                said[0].starts_with("t.toml:1: `listen` is 0.0.0.0:7700, "),
                "{said:?}"
            );
            assert!(said[0].contains(problem), "{said:?}");
        }
        for text in [
            format!("{open}{elastic}{proxy}"),
            format!("{open}{tokens}{proxy}"),
            elastic.to_owned(),
            tokens.to_owned(),
        ] {
            assert_eq!(read(&text), Ok(()), "{text}");
        }
        let said = read(&format!("{elastic}{tokens}")).unwrap_err();
        assert!(said[0].contains("`identity` is tokens"), "{said:?}");
        let said = read("identity = \"passwords\"\n").unwrap_err();
        assert!(said[0].contains("has to be none or tokens"), "{said:?}");
    }
}
