//! Where a request goes by its own account: Route and request URI (RFC 3261 §16.4, §16.6).

use std::borrow::Cow;

use sip_proxy_message::{HeaderError, Message, NameAddr, Uri};

use crate::flow_token::{PREFIX, looks_like_token};
use crate::home::Home;

/// Routes of one request. A longer list is a spiral or a joke.
const ROUTE_COUNT_MAX: usize = 32;

/// A request's way after our own hops were taken off it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Way {
    /// The request URI, or what a strict router before us put in its place.
    pub(crate) uri: Vec<u8>,
    /// Values of Route that are still to be visited, next first.
    pub(crate) routes: Vec<Vec<u8>>,
    /// The user part of the Route that led here, if it is one of ours.
    pub(crate) token: Option<Vec<u8>>,
}

/// Why a request's way cannot be followed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BadRoute;

impl From<HeaderError> for BadRoute {
    fn from(_: HeaderError) -> Self {
        Self
    }
}

impl Way {
    /// Reads the way and takes our own hops off it, two if the request changes listeners
    /// (RFC 5658).
    ///
    /// # Errors
    /// If Route cannot be read.
    pub(crate) fn read(home: &Home, message: &Message<'_>) -> Result<Self, BadRoute> {
        let mut way = Self {
            uri: message.request_uri().unwrap_or_default().to_vec(),
            ..Self::default()
        };
        for route in message.route() {
            if way.routes.len() == ROUTE_COUNT_MAX {
                return Err(BadRoute);
            }
            let route = route?;
            if way.routes.is_empty()
                && let Some(token) = our_hop(home, &route)
            {
                way.token = token.or(way.token);
                continue;
            }
            way.routes.push(written(&route));
        }
        way.undo_strict_routing(home);
        Ok(way)
    }

    /// "The proxy MUST inspect the Request-URI. If \[it\] contains a value this proxy previously
    /// placed into a Record-Route header field, the proxy MUST replace the Request-URI with the
    /// last value from the Route header field" (RFC 3261 §16.4).
    fn undo_strict_routing(&mut self, home: &Home) {
        // Most have none of our names, which is seen at once.
        if !may_be_ours(&self.uri) {
            return;
        }
        let Ok(uri) = Uri::parse(&self.uri) else {
            return;
        };
        let Some(token) = uri.user.filter(|user| looks_like_token(user)) else {
            return;
        };
        if !home.is_ours(&uri) {
            return;
        }
        let token = token.to_vec();
        let Some(last) = self.routes.pop() else {
            return;
        };
        self.uri = bare_uri(&last);
        self.token = Some(token);
    }

    /// The request URI and the routes to write: as they are if the next hop is a loose router,
    /// turned for a strict one (RFC 3261 §16.6 step 6).
    pub(crate) fn to_write(&self) -> (Cow<'_, [u8]>, Cow<'_, [Vec<u8>]>) {
        let is_strict = self.routes.first().is_some_and(|first| {
            Uri::parse(&bare_uri(first)).is_ok_and(|uri| !uri.is_loose_router())
        });
        if !is_strict {
            return (Cow::Borrowed(&self.uri), Cow::Borrowed(&self.routes));
        }
        let mut routes = self.routes.clone();
        let next = bare_uri(&routes.remove(0));
        routes.push([b"<", self.uri.as_slice(), b">"].concat());
        (Cow::Owned(next), Cow::Owned(routes))
    }

    /// The URI that says where the request is sent to.
    pub(crate) fn next_hop(&self) -> Vec<u8> {
        self.routes
            .first()
            .map_or_else(|| self.uri.clone(), |first| bare_uri(first))
    }
}

/// Whether the user of a URI may be a token: as a token begins, so does the user.
fn may_be_ours(uri: &[u8]) -> bool {
    let colon = uri.iter().position(|byte| *byte == b':');
    colon.is_some_and(|colon| uri[colon + 1..].starts_with(PREFIX))
}

/// `Some` if the route leads to us, with its token if it has one.
fn our_hop(home: &Home, route: &NameAddr<'_>) -> Option<Option<Vec<u8>>> {
    let uri = route.parse_uri().ok()?;
    if !home.is_ours(&uri) {
        return None;
    }
    let token = uri.user.filter(|user| looks_like_token(user));
    Some(token.map(<[u8]>::to_vec))
}

/// A name-addr without its display name, as it stands in Route.
pub(crate) fn written(route: &NameAddr<'_>) -> Vec<u8> {
    [b"<", route.uri, b">", route.params.bytes()].concat()
}

/// The URI of a value that [`written`] wrote.
fn bare_uri(route: &[u8]) -> Vec<u8> {
    let end = route.iter().position(|byte| *byte == b'>');
    let start = route.iter().position(|byte| *byte == b'<');
    match (start, end) {
        (Some(start), Some(end)) if start < end => route[start + 1..end].to_vec(),
        _ => route.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::{Listener, Transport};

    fn home() -> Home {
        let listener = |transport, address: &str| Listener {
            transport,
            address: address.parse().unwrap(),
            prefix_len: 24,
            advertised: None,
        };
        let listeners = vec![
            listener(Transport::Udp, "192.0.2.1:5060"),
            listener(Transport::Tcp, "10.0.0.1:5060"),
        ];
        Home::new(listeners, vec!["example.com".to_owned()])
    }

    fn way(uri: &str, routes: &str) -> Way {
        let bytes = format!(
            "BYE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nMax-Forwards: 7\r\n\
             {routes}From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\n\
             CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        );
        let message = Message::parse(bytes.as_bytes()).unwrap();
        Way::read(&home(), &message).unwrap()
    }

    fn shown((uri, routes): (Cow<'_, [u8]>, Cow<'_, [Vec<u8>]>)) -> String {
        let routes = routes.join(&b' ');
        String::from_utf8([&uri, routes.as_slice()].join(&b' ')).unwrap()
    }

    #[test]
    fn takes_both_of_our_hops_off() {
        let token = format!("tan{}", "1f".repeat(40));
        let way = way(
            "sip:bob@10.0.0.9",
            &format!(
                "Route: <sip:{token}@192.0.2.1;lr>, <sip:{token}@10.0.0.1;transport=tcp;lr>\r\n\
                 Route: <sip:p2.example.net;lr>;x=y\r\n"
            ),
        );
        assert_eq!(way.token.as_deref(), Some(token.as_bytes()));
        assert_eq!(
            shown(way.to_write()),
            "sip:bob@10.0.0.9 <sip:p2.example.net;lr>;x=y"
        );
        assert_eq!(way.next_hop(), b"sip:p2.example.net;lr");
    }

    #[test]
    fn undoes_what_a_strict_router_before_us_did() {
        let token = format!("tan{}", "2e".repeat(40));
        let way = way(
            &format!("sip:{token}@192.0.2.1;lr"),
            "Route: <sip:p2.example.net;lr>, <sip:bob@10.0.0.9>\r\n",
        );
        assert_eq!(way.token.as_deref(), Some(token.as_bytes()));
        assert_eq!(
            shown(way.to_write()),
            "sip:bob@10.0.0.9 <sip:p2.example.net;lr>"
        );
    }

    #[test]
    fn turns_the_way_for_a_strict_router_after_us() {
        let way = way(
            "sip:bob@10.0.0.9",
            "Route: <sip:192.0.2.1;lr>, <sip:strict.example.net>, <sip:p3.example.net;lr>\r\n",
        );
        assert_eq!(way.token, None);
        assert_eq!(
            shown(way.to_write()),
            "sip:strict.example.net <sip:p3.example.net;lr> <sip:bob@10.0.0.9>"
        );
        assert_eq!(way.next_hop(), b"sip:strict.example.net");
    }

    #[test]
    fn a_plain_request_uri_is_left_alone() {
        let way = way("sip:tangent@example.com", "");
        assert_eq!(shown(way.to_write()), "sip:tangent@example.com ");
        assert_eq!(way.next_hop(), b"sip:tangent@example.com");
    }
}
