//! The cookie with which a browser keeps a session: what it is called, and what it may do.
//!
//! # Guarantees
//! 1. No script reads it, no page of another origin makes a browser send it, and off loopback none
//!    goes out unencrypted, nor is one taken that another host of the domain has set (`__Host-`).
//! 2. A browser that shows several shows none.

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use taskhost_service::sessions::LASTS_FOR;

/// How this host's cookie is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionCookie {
    /// Whether it may go over an encrypted connection alone.
    pub(crate) is_secure: bool,
}

impl SessionCookie {
    fn name(self) -> &'static str {
        match self.is_secure {
            true => "__Host-taskhost_session",
            false => "taskhost_session",
        }
    }

    /// What a browser shows.
    pub(crate) fn shown(self, headers: &HeaderMap) -> Option<&str> {
        let all = headers.get_all(COOKIE).iter();
        let all = all.filter_map(|value| value.to_str().ok());
        let pairs = all.flat_map(|text| text.split(';'));
        let mut own = pairs.filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.name()).then_some(value)
        });
        own.next().filter(|_| own.next().is_none())
    }

    /// Has the browser keep a session.
    pub(crate) fn set(self, headers: &mut HeaderMap, session: &str) {
        self.put(headers, session, LASTS_FOR.as_secs());
    }

    /// Has it forget.
    pub(crate) fn clear(self, headers: &mut HeaderMap) {
        self.put(headers, "", 0);
    }

    fn put(self, headers: &mut HeaderMap, value: &str, seconds: u64) {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let text = format!(
            "{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}",
            self.name()
        );
        if let Ok(mut cookie) = HeaderValue::try_from(text) {
            cookie.set_sensitive(true);
            headers.append(SET_COOKIE, cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cookie_is_shown_and_several_are_none() {
        let cookie = SessionCookie { is_secure: false };
        let shown = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(COOKIE, HeaderValue::from_static(value));
            }
            cookie.shown(&headers).map(str::to_owned)
        };
        assert_eq!(shown(&["a=b; taskhost_session=x; c=d"]).unwrap(), "x");
        assert_eq!(shown(&["a=b", "taskhost_session=x"]).unwrap(), "x");
        for none in [
            &[][..],
            &["taskhost_sessio=x"],
            &["__Host-taskhost_session=x"],
            &["taskhost_session=x; taskhost_session=y"],
            &["taskhost_session=x", "taskhost_session=x"],
        ] {
            assert_eq!(shown(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_cookie_is_for_this_host_alone() {
        for (is_secure, begins, ends) in [
            (
                false,
                "taskhost_session=x; Path=/; Max-Age=43200; ",
                "HttpOnly; SameSite=Strict",
            ),
            (
                true,
                "__Host-taskhost_session=x; Path=/; ",
                "HttpOnly; SameSite=Strict; Secure",
            ),
        ] {
            let mut headers = HeaderMap::new();
            SessionCookie { is_secure }.set(&mut headers, "x");
            let text = headers[SET_COOKIE].to_str().unwrap();
            assert!(text.starts_with(begins) && text.ends_with(ends), "{text}");
            assert!(!text.contains("Domain"));
            assert!(!format!("{headers:?}").contains("session=x"));
        }
    }
}
