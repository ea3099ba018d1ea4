//! Keeps pages of other origins out.
//!
//! And single-user mode's wall: whoever reaches the host may do everything, so only programs on
//! this machine may reach it, and no web page of another origin through a browser. A page can
//! make a browser connect to loopback under a name of its own (DNS rebinding): hence the check
//! of `Host`.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};

use super::codes::Code;
use super::problem::Problem;

/// Refuses a request whose `Host` is not loopback or whose `Origin` is not this host.
pub(crate) fn check(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts
        .next()
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if hosts.next().is_some() {
        let detail = "the request has more than one `Host`";
        return Err(Problem::new(Code::HostNotAllowed, detail));
    }
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    if !is_loopback(host) || !is_loopback(authority) {
        let detail = "the host runs for one user at this machine and answers to 127.0.0.1, [::1] \
                      and localhost alone; `Host` names something else";
        return Err(Problem::new(Code::HostNotAllowed, detail));
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let own = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.strip_prefix("http://"));
    if own.is_some_and(|own| own.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    let detail = "a page of another origin may not use this host";
    Err(Problem::new(Code::OriginNotAllowed, detail))
}

/// Whether the request says that it comes from a page of this host, by whatever scheme.
pub(crate) fn is_of_this_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let own = text(ORIGIN).and_then(|origin| {
        let authority = origin.strip_prefix("http://");
        authority.or_else(|| origin.strip_prefix("https://"))
    });
    own.zip(text(HOST))
        .is_some_and(|(own, host)| own.eq_ignore_ascii_case(host))
}

/// Refuses what a browser sends for a page of another origin: the host's people may have given
/// that browser a credential, which it sends along whoever asks.
pub(crate) fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    if !headers.contains_key(ORIGIN) || is_of_this_origin(headers) {
        return Ok(());
    }
    let detail = "a page of another origin may not use this host";
    Err(Problem::new(Code::OriginNotAllowed, detail))
}

/// Whether `HOST` or `HOST:PORT` names this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    bare.unwrap_or(name)
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn checked(host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        check(&headers, &Uri::from_static("/v1/info")).is_ok()
    }

    #[test]
    fn two_hosts_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("127.0.0.1"));
        headers.append(HOST, HeaderValue::from_static("127.0.0.1"));
        assert!(check(&headers, &Uri::from_static("/v1/info")).is_err());
    }

    #[test]
    fn only_loopback_hosts() {
        for host in [
            "127.0.0.1:7700",
            "127.9.9.9",
            "localhost",
            "LOCALHOST:1",
            "[::1]:7700",
        ] {
            assert!(checked(host, None), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:7700",
            "127.0.0.1.evil.example",
            "10.0.0.1",
        ] {
            assert!(!checked(host, None), "{host}");
        }
        let elsewhere = Uri::from_static("http://evil.example/v1/info");
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        assert!(check(&headers, &elsewhere).is_err());
        assert!(check(&HeaderMap::new(), &Uri::from_static("/")).is_err());
    }

    #[test]
    fn only_this_origin() {
        assert!(checked("localhost:7700", Some("http://localhost:7700")));
        for origin in [
            "null",
            "http://localhost:3000",
            "https://localhost:7700",
            "http://evil.example",
        ] {
            assert!(!checked("localhost:7700", Some(origin)), "{origin}");
        }
    }
}
