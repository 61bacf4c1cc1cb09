use super::*;

fn parse(text: &str) -> Result<Uri<'_>, UriError> {
    Uri::parse(text.as_bytes())
}

fn same(one: &str, other: &str) -> bool {
    let (one, other) = (parse(one).unwrap(), parse(other).unwrap());
    let result = one.is_equivalent(&other);
    assert_eq!(result, other.is_equivalent(&one), "not symmetric");
    result
}

#[test]
fn reads_every_part() {
    let uri = parse("SIP:al%69ce;x=1?y:s3cret@[2001:db8::9]:5070;transport=TCP;lr?to=a%40b&c=d");
    let uri = uri.unwrap();
    assert_eq!(uri.scheme, Scheme::Sip);
    assert_eq!(uri.user, Some(&b"al%69ce;x=1?y"[..]));
    assert_eq!(uri.user_unescaped().as_deref(), Some(&b"alice;x=1?y"[..]));
    assert_eq!(uri.password, Some(&b"s3cret"[..]));
    assert_eq!(
        uri.host,
        Some(Host::Address("2001:db8::9".parse().unwrap()))
    );
    assert_eq!(uri.port, Some(5070));
    assert_eq!(uri.params.value(b"TRANSPORT"), Some(&b"TCP"[..]));
    assert!(uri.is_loose_router());
    assert_eq!(uri.headers, Some(&b"to=a%40b&c=d"[..]));
    assert!(!format!("{uri:?}").contains("s3cret"));
}

#[test]
fn reads_the_least_there_can_be() {
    let uri = parse("sips:h").unwrap();
    assert_eq!((uri.scheme, uri.user, uri.port), (Scheme::Sips, None, None));
    assert_eq!(uri.host, Some(Host::Name(b"h")));
    let uri = parse("tel:+1-201-555-0123;phone-context=example.com").unwrap();
    assert_eq!(
        (uri.scheme, uri.user),
        (Scheme::Tel, Some(&b"+1-201-555-0123"[..]))
    );
    assert_eq!(parse("urn:service:sos").unwrap().scheme, Scheme::Other);
}

#[test]
fn refuses_what_is_no_uri() {
    for (text, error) in [
        ("", UriError::Scheme),
        ("sip", UriError::Scheme),
        (":a@b", UriError::Scheme),
        ("1ip:a@b", UriError::Scheme),
        ("<sip:a@b>", UriError::Scheme),
        ("sip:", UriError::Syntax),
        ("sip:a b@c", UriError::Syntax),
        ("sip:a@b@c", UriError::Host),
        ("sip:a@b;c=d@e", UriError::Syntax),
        ("sip:@b", UriError::Syntax),
        ("sip:a%4@b", UriError::Syntax),
        ("sip:a%zz@b", UriError::Syntax),
        ("sip:a@b;;lr", UriError::Syntax),
        ("sip:a@b;lr;lr", UriError::Syntax),
        ("sip:a@b;transport=tcp;Transport=udp", UriError::Syntax),
        ("sip:a@b?", UriError::Syntax),
        ("sip:a@b?c=sip:d@e", UriError::Syntax),
        ("sip:a[1]@b", UriError::Syntax),
        ("sip:a@", UriError::Host),
        ("sip:a@b..c", UriError::Host),
        ("sip:a@.b", UriError::Host),
        ("sip:a@1.2.3", UriError::Host),
        ("sip:a@1.2.3.256", UriError::Host),
        ("sip:a@1.2.3.04", UriError::Host),
        ("sip:a@::1", UriError::Host),
        ("sip:a@[::1", UriError::Host),
        ("sip:a@[::g]", UriError::Host),
        ("sip:a@[fe80::1%eth0]", UriError::Syntax),
        ("sip:a@b,c", UriError::Host),
        ("sip:a@b:", UriError::Port),
        ("sip:a@b:0", UriError::Port),
        ("sip:a@b:65536", UriError::Port),
        ("tel:", UriError::Syntax),
        ("tel:alice@b", UriError::Syntax),
    ] {
        assert_eq!(parse(text), Err(error), "{text}");
    }
    let long = format!("sip:{}@b", "a".repeat(URI_LEN_MAX));
    assert_eq!(parse(&long), Err(UriError::Length));
}

#[test]
fn equal_by_the_examples_of_the_rfc() {
    assert!(same(
        "sip:%61lice@atlanta.com;transport=TCP",
        "sip:alice@AtLanTa.CoM;Transport=tcp"
    ));
    assert!(same(
        "sip:carol@chicago.com",
        "sip:carol@chicago.com;newparam=5"
    ));
    assert!(same(
        "sip:carol@chicago.com;security=on",
        "sip:carol@chicago.com;newparam=5"
    ));
    assert!(same(
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x"
    ));
}

#[test]
fn different_by_the_examples_of_the_rfc() {
    for (one, other) in [
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ),
        ("sip:a%3Bb@c", "sip:a;b@c"),
    ] {
        assert!(!same(one, other), "{one} {other}");
    }
}

#[test]
fn addresses_and_numbers_are_compared_by_value() {
    assert!(same("sip:[2001:db8::1]", "sip:[2001:DB8:0:0::1]"));
    assert!(same("sip:a@example.com", "sip:a@EXAMPLE.com."));
    assert!(same("tel:+1-201", "tel:+1(201)"));
    assert!(!same("tel:+1201", "tel:1201"));
    assert!(!same("urn:a", "urn:A"));
}
