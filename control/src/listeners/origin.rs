//! Whether a page of another site has its hand in a request.
//!
//! A browser on a host that may ask is made to send requests by any page that it shows. With most
//! of them it says where that page is from (`Origin`), or at least that it is from elsewhere
//! (`Sec-Fetch-Site`). A picture's address is asked for without a word in plain HTTP, though, and a
//! page's own name may have come to mean our address since it was loaded. So a name is no proof of
//! anything, and what changes something is not done for a `GET` that may be a browser's.

use hyper::Request;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, USER_AGENT};
use std::net::IpAddr;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a request is from no page at all, or from one of this host. Over TLS (`is_secure`) a name
/// that others can give a meaning to is proven by our certificate.
pub(super) fn is_ours<B>(request: &Request<B>, is_secure: bool) -> bool {
    let headers = request.headers();
    let is_same_site = match text(headers, &FETCH_SITE) {
        None => true,
        Some(site) => matches!(site, b"none" | b"same-origin"),
    };
    is_same_site
        && match (text(headers, &ORIGIN), text(headers, &HOST)) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(origin), Some(host)) => {
                let name = host_name(origin);
                name == host_name(host) && (is_secure || is_address(name))
            }
        }
}

/// Whether a `GET` is surely not a browser's: it says so of itself, and asks for us by address.
pub(super) fn is_no_browser<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let is_browser = text(headers, &USER_AGENT).is_some_and(|it| it.starts_with(b"Mozilla/"));
    let is_named = text(headers, &HOST).is_some_and(|host| !is_address(host_name(host)));
    !is_browser && !is_named
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

/// Whether a host is named by what nobody else can give a meaning to.
fn is_address(name: &[u8]) -> bool {
    let name = std::str::from_utf8(name).unwrap_or_default();
    let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost") || bare.unwrap_or(name).parse::<IpAddr>().is_ok()
}

/// `name` of `http://name:port`, or of less.
fn host_name(origin: &[u8]) -> &[u8] {
    let after = origin.windows(3).position(|it| it == b"://");
    let name = &origin[after.map_or(0, |at| at + 3)..];
    if name.starts_with(b"[") {
        let end = name.iter().position(|byte| *byte == b']');
        return &name[..end.map_or(name.len(), |at| at + 1)];
    }
    name.split(|byte| *byte == b':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert(name, value);
        }
        request
    }

    #[test]
    fn pages_of_other_sites_are_known() {
        for (headers, is_ours_then) in [
            (&[("host", "pbx:2225")][..], true),
            (
                &[
                    ("host", "127.0.0.1:2225"),
                    ("origin", "http://127.0.0.1:2225"),
                ],
                true,
            ),
            (
                &[("host", "[::1]:2225"), ("origin", "http://[::1]:2225")],
                true,
            ),
            (
                &[("host", "localhost"), ("origin", "https://localhost")],
                true,
            ),
            (
                &[("host", "127.0.0.1"), ("origin", "http://evil.example")],
                false,
            ),
            (&[("host", "127.0.0.1"), ("origin", "null")], false),
            (&[("origin", "http://127.0.0.1")], false),
            // A name that means our address now.
            (
                &[("host", "evil.example"), ("origin", "http://evil.example")],
                false,
            ),
            (
                &[("host", "127.0.0.1"), ("sec-fetch-site", "cross-site")],
                false,
            ),
            (
                &[("host", "127.0.0.1"), ("sec-fetch-site", "same-site")],
                false,
            ),
            (&[("host", "127.0.0.1"), ("sec-fetch-site", "none")], true),
        ] {
            assert_eq!(
                is_ours(&request(headers), false),
                is_ours_then,
                "{headers:?}"
            );
        }
        let named = [("host", "pbx.example"), ("origin", "https://pbx.example")];
        assert!(is_ours(&request(&named), true));
        let elsewhere = [("host", "pbx.example"), ("origin", "https://evil.example")];
        assert!(!is_ours(&request(&elsewhere), true));
    }

    #[test]
    fn what_may_be_a_browsers_is_not_taken_for_a_scripts() {
        for (headers, is_script) in [
            (
                &[("host", "127.0.0.1:2225"), ("user-agent", "curl/7.88.1")][..],
                true,
            ),
            (&[("host", "[2001:db8::1]:2225")], true),
            (&[], true),
            (
                &[("host", "127.0.0.1"), ("user-agent", "Mozilla/5.0 (X11)")],
                false,
            ),
            (
                &[("host", "evil.example"), ("user-agent", "curl/7.88.1")],
                false,
            ),
        ] {
            assert_eq!(is_no_browser(&request(headers)), is_script, "{headers:?}");
        }
    }
}
