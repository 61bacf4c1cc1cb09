//! Whether a page of another site has its hand in a request.
//!
//! A browser on a host that may ask is made to send requests by any page that it shows. With most
//! of them it says where that page is from (`Origin`), or at least that it is from elsewhere
//! (`Sec-Fetch-Site`). A picture's address is asked for without a word in plain HTTP, though, and a
//! page's own name may have come to mean our address since it was loaded. So a name is no proof of
//! anything, and what changes something is not done for a `GET` that may be a browser's.
//!
//! Programs that speak WebSocket by libwebsockets name the host that they ask as their `Origin`,
//! without its port and, if it is an IPv6 address, without brackets.

use hyper::Request;
use hyper::header::{
    HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY, USER_AGENT,
};
use std::net::{IpAddr, Ipv6Addr};

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
                let is_proven = is_secure || is_address(host_name(origin));
                is_same(origin, host) && (is_proven || is_program(headers))
            }
        }
}

/// Whether a program, not a browser, opens a WebSocket: a page's script can neither say that it
/// opens one when it does not, nor what browser it runs in when it does.
fn is_program(headers: &HeaderMap) -> bool {
    headers.contains_key(SEC_WEBSOCKET_KEY) && !is_browser(headers)
}

fn is_browser(headers: &HeaderMap) -> bool {
    text(headers, &USER_AGENT).is_some_and(|it| it.starts_with(b"Mozilla/"))
}

/// Whether a `GET` is surely not a browser's: it says so of itself, and asks for us by address.
pub(super) fn is_no_browser<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let is_named = text(headers, &HOST).is_some_and(|host| !is_address(host_name(host)));
    !is_browser(headers) && !is_named
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

/// Whether a host is named by what nobody else can give a meaning to.
fn is_address(name: &[u8]) -> bool {
    let name = std::str::from_utf8(name).unwrap_or_default();
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Whether both name the same host. An IPv6 address without brackets may have a port at its end
/// that reads like a part of it.
fn is_same(origin: &[u8], host: &[u8]) -> bool {
    let (origin, host) = (host_name(origin), host_name(host));
    origin.eq_ignore_ascii_case(host)
        || (is_ip6(origin) && is_ip6(host) && before_port(host) == Some(origin))
}

fn is_ip6(name: &[u8]) -> bool {
    let name = std::str::from_utf8(name);
    name.is_ok_and(|it| it.parse::<Ipv6Addr>().is_ok())
}

/// `name` of `http://name:port`, or of less; without brackets.
fn host_name(origin: &[u8]) -> &[u8] {
    let after = origin.windows(3).position(|it| it == b"://");
    let name = &origin[after.map_or(0, |at| at + 3)..];
    if let Some(bare) = name.strip_prefix(b"[") {
        return bare.split(|byte| *byte == b']').next().unwrap_or_default();
    }
    if is_ip6(name) {
        return name;
    }
    before_port(name).unwrap_or(name)
}

fn before_port(name: &[u8]) -> Option<&[u8]> {
    let colon = name.iter().rposition(|byte| *byte == b':')?;
    Some(&name[..colon])
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

    /// As the module of Kamailio connects, by libwebsockets.
    #[test]
    fn a_program_that_names_the_host_it_asks_may_open_a_web_socket() {
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let named = [
            ("host", "relay1.example:2225"),
            ("origin", "http://relay1.example"),
        ];
        let with = |more: &[(&str, &str)]| request(&[&named[..], more].concat());
        assert!(is_ours(&with(&[key]), false));
        assert!(is_ours(&with(&[key, ("user-agent", "lwsc")]), false));
        assert!(!is_ours(&with(&[]), false), "no WebSocket");
        let browser = ("user-agent", "Mozilla/5.0 (X11)");
        assert!(!is_ours(&with(&[key, browser]), false));
        let elsewhere = ("sec-fetch-site", "cross-site");
        assert!(!is_ours(&with(&[key, elsewhere]), false));
        let other = [named[0], ("origin", "http://evil.example"), key];
        assert!(!is_ours(&request(&other), false));
    }

    #[test]
    fn an_address_is_one_without_brackets_too() {
        for (host, origin, is_ours_then) in [
            ("2001:db8::1:2225", "http://2001:db8::1", true),
            ("2001:db8::1", "http://2001:db8::1", true),
            ("[2001:db8::1]:2225", "http://2001:db8::1", true),
            ("1:2:3:4:5:6:7:8:2225", "http://1:2:3:4:5:6:7:8", true),
            ("2001:db8::2:2225", "http://2001:db8::1", false),
            ("2001:db8::1", "http://2001", false),
        ] {
            let request = request(&[("host", host), ("origin", origin)]);
            assert_eq!(is_ours(&request, false), is_ours_then, "{host} {origin}");
        }
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
