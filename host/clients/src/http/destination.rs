//! Where a request goes, and whether both sides have said that it may: the descriptor by asking,
//! the operator by allowing.

use percent_encoding::percent_decode;
use taskhost_model::capabilities::{Capabilities, HttpRule};
use url::{Host, Position, Url};

use crate::denied::{Denial, Denials};
use crate::error::{ClientError, cut};

/// A URL.
const URL_BYTES_MAX: usize = 8 * 1024;
/// Of a URL in a message.
const SHOWN_BYTES_MAX: usize = 200;
/// What is encoded more often than so is encoded to deceive.
const ENCODED_MAX: usize = 4;

/// An `http` or `https` URL without user, password and fragment, as the `url` crate writes it: host
/// in lower case, numbers of any form as an address, without `.` and `..`.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    url: Url,
    /// As rules have it.
    pub(super) origin: String,
}

/// What both sides say of requests.
#[derive(Debug)]
pub(super) struct Rules {
    asked: Vec<HttpRule>,
    allowed: Vec<HttpRule>,
}

/// The origin of a URL as rules have it: `https://api.example.org`, with a port where it is not the
/// scheme's own. Nothing but the origin may stand there.
///
/// # Errors
/// What is wrong with it.
pub fn origin(text: &str) -> Result<String, String> {
    let wrong = || {
        let text = cut(text, SHOWN_BYTES_MAX).escape_debug();
        format!("is \"{text}\", and has to be an origin such as \"https://api.example.org\"")
    };
    let destination = Destination::parse(text).map_err(|_| wrong())?;
    let rest = &destination.url[Position::BeforePath..];
    if rest == "/" {
        Ok(destination.origin)
    } else {
        Err(wrong())
    }
}

/// Origins that are not written as requests have them, each as a sentence that names the key:
/// nobody would see at a glance what they stand for.
#[must_use]
pub fn other_spellings(capabilities: &Capabilities) -> Vec<String> {
    let rules = capabilities.http.iter().enumerate();
    let told = |(index, rule): (usize, &HttpRule)| {
        let key = format!(
            "`capabilities.http[{index}]` has the origin `{}`",
            rule.origin
        );
        match origin(&rule.origin) {
            Ok(written) if written == rule.origin => None,
            Ok(written) => Some(format!("{key}, which is `{written}`: write it so")),
            Err(_) => Some(format!(
                "{key}, which is no address that a request can have"
            )),
        }
    };
    // What the descriptor's own rules refuse is told by them.
    let is_told = |(_, rule): &(usize, &HttpRule)| rule.has_right_origin();
    rules.filter(is_told).filter_map(told).collect()
}

impl Destination {
    pub(super) fn parse(text: &str) -> Result<Self, ClientError> {
        if text.len() > URL_BYTES_MAX {
            let (size, most) = (text.len(), URL_BYTES_MAX as u64);
            return Err(ClientError::too_large("the URL", size, "bytes", most));
        }
        // The parser would leave them out.
        if text.chars().any(char::is_control) {
            return Err(ClientError::invalid("url", "has a control character"));
        }
        let url = Url::parse(text).map_err(|error| {
            let shown = cut(text, SHOWN_BYTES_MAX).escape_debug();
            ClientError::invalid("url", &format!("is no absolute URL ({error}): \"{shown}\""))
        })?;
        Self::of(url).map_err(|problem| ClientError::invalid("url", problem))
    }

    /// Where a redirect from here leads; none where the text is no URL.
    pub(super) fn then(&self, location: &str) -> Option<Result<Self, &'static str>> {
        let fits = location.len() <= URL_BYTES_MAX;
        let url = fits.then(|| self.url.join(location))?;
        url.ok().map(Self::of)
    }

    fn of(mut url: Url) -> Result<Self, &'static str> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err("is neither `http` nor `https`");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user or a password: send an `authorization` header instead");
        }
        if url.port() == Some(0) {
            return Err("has the port 0, which nobody listens on");
        }
        url.set_fragment(None);
        let origin = url.origin().ascii_serialization();
        Ok(Self { url, origin })
    }

    /// For messages: without what comes after `?`, and not too long.
    pub(super) fn shown(&self) -> &str {
        cut(&self.url[..Position::AfterPath], SHOWN_BYTES_MAX)
    }

    /// The whole of it.
    pub(super) fn text(&self) -> &str {
        self.url.as_str()
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Always there: these schemes have one.
    pub(super) fn host(&self) -> Option<Host<&str>> {
        self.url.host()
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// What the header `host` says.
    pub(super) fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// What a server is asked for.
    pub(super) fn path_and_query(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }
}

impl Rules {
    pub(super) fn new(asked: &Capabilities, allowed: &Capabilities) -> Self {
        let same = |rules: &[HttpRule]| rules.iter().cloned().map(canonical).collect();
        Self {
            asked: same(&asked.http),
            allowed: same(&allowed.http),
        }
    }

    /// Why a request is denied; none where it is allowed.
    pub(super) fn denial(
        &self,
        method: &str,
        to: &Destination,
        denials: &Denials,
    ) -> Option<Denial> {
        let (origin, path) = (to.origin.as_str(), to.url.path());
        let request = format!("{method} {}", to.shown());
        if hides_a_step(path) {
            let message = format!(
                "{request}: the path has `.` or `..` in disguise, which a server may take for a \
                 step to another folder"
            );
            return Some(Denial::new(message));
        }
        let permits = |rule: &&HttpRule| rule.permits(origin, method, path);
        let Some(asked) = self.asked.iter().find(permits) else {
            let message = format!(
                "{request}: the descriptor does not ask for that: `capabilities.http` needs an \
                 entry with this origin ({origin}), method and the beginning of this path"
            );
            return Some(Denial::new(message));
        };
        if self.allowed.iter().any(|rule| permits(&rule)) {
            return None;
        }
        let message = format!("{request}: the operator does not allow this type that");
        let setting = denials.setting(&Capabilities {
            http: vec![asked.clone()],
            ..Capabilities::default()
        });
        Some(Denial::not_allowed(&message, setting))
    }
}

/// A rule for `https://a.example:443` is one for `https://a.example`.
fn canonical(mut rule: HttpRule) -> HttpRule {
    if let Ok(origin) = origin(&rule.origin) {
        rule.origin = origin;
    }
    rule
}

/// Whether a server that decodes before it looks at the path, or takes `\` for `/`, or leaves out
/// what comes after `;`, sees a `.` or `..` that is not one by itself.
fn hides_a_step(path: &str) -> bool {
    let mut path = path.as_bytes().to_vec();
    for _ in 0..ENCODED_MAX {
        let decoded: Vec<u8> = percent_decode(&path).collect();
        if decoded == path {
            // These begin no character of UTF-8, but they did once: `.` in two bytes.
            let is_overlong = |byte: &u8| matches!(byte, 0xC0 | 0xC1);
            return path.iter().any(is_overlong) || path.split(is_end_of_step).any(is_dots);
        }
        path = decoded;
    }
    true
}

fn is_end_of_step(byte: &u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

fn is_dots(step: &[u8]) -> bool {
    // What comes after one of these may be cut off, or left out.
    let is_end = |byte: &u8| matches!(byte, 0..=b' ' | b';' | b'?' | b'#' | 0x7F);
    let name = step.split(is_end).next().unwrap_or_default();
    matches!(name, b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_host_are_one_origin() {
        for (text, expected) in [
            ("https://A.Example:443/x", "https://a.example"),
            ("http://a.example:443/", "http://a.example:443"),
            ("http://2130706433/", "http://127.0.0.1"),
            ("http://0x7f.1/", "http://127.0.0.1"),
            ("http://0177.0.0.01/", "http://127.0.0.1"),
            ("http://127.1./", "http://127.0.0.1"),
            ("http://１２７.0.0.1/", "http://127.0.0.1"),
            ("http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]"),
            ("http:\\\\a.example\\x", "http://a.example"),
            ("http:/a.example", "http://a.example"),
            ("https://ä.example/", "https://xn--4ca.example"),
            ("https://a.example%2eevil/", "https://a.example.evil"),
        ] {
            assert_eq!(Destination::parse(text).unwrap().origin, expected, "{text}");
        }
    }

    #[test]
    fn urls_that_cannot_be_meant_are_refused() {
        let long = format!("http://a/{}", "x".repeat(9_000));
        for text in [
            "",
            "/x",
            "a.example",
            "//a.example",
            "ftp://a.example",
            "file:///etc/passwd",
            "data:,x",
            "http://",
            "http://?",
            "http://a.example:99999/",
            "http://a.example:0/",
            "http://u@a.example/",
            "http://u:p@a.example/",
            "http://256.1.1.1/",
            "http://[::1",
            "http://[fe80::1%25eth0]/",
            "http://a b/",
            "http://a.example/\r\nx: y",
            "ht\ntp://a.example/",
            &long,
        ] {
            assert!(Destination::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_with_steps_in_disguise_is_seen_through() {
        let of = |path: &str| {
            let to = Destination::parse(&format!("http://a{path}")).unwrap();
            hides_a_step(to.url.path())
        };
        for path in [
            "/v1/..%2fadmin",
            "/v1/..%5Cadmin",
            "/v1/%2e%2e%2fadmin",
            "/v1/%252e%252e/admin",
            "/v1/%25252e%25252e%25252fadmin",
            "/v1/..;/admin",
            "/v1/..;a=b/admin",
            "/v1/.%2e;/admin",
            "/v1/x%2f..%2f..",
            "/v1/%c0%ae%c0%ae/admin",
            "/v1/%2525252525252e",
            "/v1/..%00/admin",
            "/v1/..%20/admin",
            "/v1/..%23/admin",
            "/v1/.%2e%3fx/admin",
        ] {
            assert!(of(path), "{path}");
        }
        for path in [
            "/",
            "/v1/a%2Fb",
            "/v1/a..b",
            "/v1/...",
            "/v1/100%25",
            "/v1/%C3%A4",
            "/a//b",
        ] {
            assert!(!of(path), "{path}");
        }
        for (path, normal) in [
            ("/v1/../admin", "/admin"),
            ("/v1/%2e%2e/admin", "/admin"),
            ("/v1/.%2E\\admin", "/admin"),
            ("/v1/./x", "/v1/x"),
        ] {
            let to = Destination::parse(&format!("http://a{path}")).unwrap();
            assert_eq!(to.url.path(), normal);
        }
    }

    #[test]
    fn an_origin_in_another_spelling_is_told_with_the_one_to_write() {
        let rule = |origin: &str| HttpRule {
            origin: origin.to_owned(),
            methods: vec!["GET".to_owned()],
            path_prefix: "/".to_owned(),
        };
        let told = |origin: &str| {
            let http = vec![rule("https://right.example"), rule(origin)];
            other_spellings(&Capabilities {
                http,
                ..Capabilities::default()
            })
        };
        for (origin, written) in [
            ("http://0xa.0.01", "http://10.0.0.1"),
            (
                "https://api.github.com%2eevil.example",
                "https://api.github.com.evil.example",
            ),
            ("https://a.example:443", "https://a.example"),
            ("http://127.1", "http://127.0.0.1"),
        ] {
            let key = "`capabilities.http[1]`";
            let expected =
                format!("{key} has the origin `{origin}`, which is `{written}`: write it so");
            assert_eq!(told(origin), [expected]);
        }
        assert!(told("https://256.1.1.1")[0].contains("no address"));
        assert!(told("http://[::1]:81").is_empty());
        assert!(
            told("https://A.example/x").is_empty(),
            "told by the rules of descriptors"
        );
    }

    #[test]
    fn an_origin_is_nothing_more_and_is_told_in_one_form() {
        assert_eq!(
            origin("https://A.example:443").unwrap(),
            "https://a.example"
        );
        for text in [
            "https://a.example/x",
            "https://a.example?",
            "a.example",
            "ws://a",
        ] {
            let problem = origin(text).unwrap_err();
            assert!(problem.contains("has to be an origin"), "{problem}");
        }
    }
}
