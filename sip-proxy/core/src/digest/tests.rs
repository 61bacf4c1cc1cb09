use super::*;

pub(crate) const REALM: &str = "example.com";

/// An account as the store would make it.
pub(crate) fn account(user: &str, password: &str) -> Account {
    let parts = [user.as_bytes(), REALM.as_bytes(), password.as_bytes()];
    Account {
        user: user.to_owned(),
        ha1_md5: text(&md5_hex(&parts)),
        ha1_sha256: text(&sha256_hex(&parts)),
    }
}

fn text(hash: &HexHash) -> String {
    String::from_utf8(hash.digits().to_vec()).unwrap()
}

/// What a phone answers to one value of a challenge.
pub(crate) fn answer(
    challenge: &str,
    user: &str,
    password: &str,
    method: &str,
    uri: &str,
    count: u32,
) -> String {
    let quoted = |name: &str| {
        let after = challenge.split(&format!("{name}=\"")).nth(1).unwrap();
        after.split('"').next().unwrap().to_owned()
    };
    let (algorithm, hash): (_, Hash) = if challenge.contains("SHA-256") {
        ("SHA-256", sha256_hex)
    } else {
        ("MD5", md5_hex)
    };
    let (realm, nonce) = (quoted("realm"), quoted("nonce"));
    let nc = format!("{count:08x}");
    let ha1 = hash(&[user.as_bytes(), realm.as_bytes(), password.as_bytes()]);
    let ha2 = hash(&[method.as_bytes(), uri.as_bytes()]);
    let response = hash(&[
        ha1.digits(),
        nonce.as_bytes(),
        nc.as_bytes(),
        b"cafe",
        b"auth",
        ha2.digits(),
    ]);
    let response = text(&response);
    format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm={algorithm}, cnonce=\"cafe\", nc={nc}, qop=auth"
    )
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn authenticator() -> Authenticator {
    let mut authenticator = Authenticator::new(REALM.to_owned(), Secret::new([1; 32]));
    authenticator.replace_accounts(vec![account("alice", "secret")]);
    authenticator
}

fn asker(unix_ms: u64) -> Asker<'static> {
    Asker {
        unix_ms,
        source: HERE,
        method: Method::Register,
    }
}

fn verify(authenticator: &mut Authenticator, unix_ms: u64, value: &str) -> Verdict {
    let credentials =
        Credentials::parse(sip_proxy_message::HeaderId::Authorization, value.as_bytes())
            .unwrap()
            .unwrap();
    authenticator.verify(asker(unix_ms), std::iter::once(credentials))
}

#[test]
fn hashes_as_the_rfc_does() {
    // RFC 7616 §3.9.1.
    let ha1 = |hash: Hash| {
        text(&hash(&[
            b"Mufasa",
            b"http-auth@example.org",
            b"Circle of Life",
        ]))
    };
    let value = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", \
        uri=\"/dir/index.html\", algorithm=MD5, \
        nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
        cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"x\"";
    let id = sip_proxy_message::HeaderId::Authorization;
    let credentials = Credentials::parse(id, value.as_bytes()).unwrap().unwrap();
    let get = Method::Other(b"GET");
    assert_eq!(
        text(&response(&ha1(md5_hex), md5_hex, get, &credentials).unwrap()),
        "8ca523f5e9506fed4657c9700eebdbec"
    );
    assert_eq!(
        text(&response(&ha1(sha256_hex), sha256_hex, get, &credentials).unwrap()),
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    );
}

#[test]
fn both_algorithms_are_accepted_once() {
    let mut authenticator = authenticator();
    for challenge in authenticator.challenges(asker(0), 1, false, Some(b"Phone")) {
        let value = answer(
            &challenge,
            "alice",
            "secret",
            "REGISTER",
            "sip:example.com",
            1,
        );
        let other = answer(
            &challenge,
            "alice",
            "secret",
            "REGISTER",
            "sip:example.com",
            2,
        );
        let first = verify(&mut authenticator, 10, &value);
        if challenge.contains("SHA-256") {
            assert_eq!(first, Verdict::Accepted("alice".to_owned()));
            assert_eq!(
                verify(&mut authenticator, 11, &other),
                Verdict::Accepted("alice".to_owned())
            );
        }
        // Both challenges hold the same nonce, so the second one's counts were used.
        assert_eq!(
            verify(&mut authenticator, 12, &value),
            Verdict::Challenge { is_stale: true }
        );
    }
    let md5 = authenticator.challenges(asker(20), 2, false, Some(b"SIPp"));
    assert_eq!(md5.len(), 1);
    let value = answer(&md5[0], "alice", "secret", "REGISTER", "sip:example.com", 1);
    assert_eq!(
        verify(&mut authenticator, 21, &value),
        Verdict::Accepted("alice".to_owned())
    );
}

#[test]
fn wrong_password_unknown_user_and_other_method_look_alike() {
    let mut authenticator = authenticator();
    let challenge = &authenticator.challenges(asker(0), 1, false, None)[0];
    for (user, password, method) in [
        ("alice", "wrong", "REGISTER"),
        ("mallory", "secret", "REGISTER"),
        ("alice", "secret", "INVITE"),
    ] {
        let value = answer(challenge, user, password, method, "sip:example.com", 1);
        assert_eq!(
            verify(&mut authenticator, 1, &value),
            Verdict::Challenge { is_stale: false },
            "{user} {password} {method}"
        );
    }
}

#[test]
fn an_old_nonce_is_stale_only_with_the_right_password() {
    let mut authenticator = authenticator();
    let challenge = &authenticator.challenges(asker(0), 1, false, None)[0];
    let late = nonce::NONCE_LIFETIME_MS;
    let right = answer(challenge, "alice", "secret", "REGISTER", "sip:x", 1);
    let wrong = answer(challenge, "alice", "guess", "REGISTER", "sip:x", 1);
    assert_eq!(
        verify(&mut authenticator, late, &right),
        Verdict::Challenge { is_stale: true }
    );
    assert_eq!(
        verify(&mut authenticator, late, &wrong),
        Verdict::Challenge { is_stale: false }
    );
}

#[test]
fn credentials_for_others_and_without_count_are_no_credentials() {
    let mut authenticator = authenticator();
    let challenge = &authenticator.challenges(asker(0), 1, false, None)[0];
    let value = answer(challenge, "alice", "secret", "REGISTER", "sip:x", 1);
    let elsewhere = value.replace("realm=\"example.com\"", "realm=\"example.net\"");
    let rfc2069 = value.replace(", nc=00000001, qop=auth", "");
    for value in [elsewhere, rfc2069] {
        assert_eq!(
            verify(&mut authenticator, 1, &value),
            Verdict::Challenge { is_stale: false }
        );
    }
}

#[test]
fn phones_that_choke_on_sha256_are_not_offered_it() {
    assert_eq!(offered(Some(b"baresip v1.0.0 (x86_64/linux)")), ["MD5"]);
    assert_eq!(offered(Some(b"baresip v3.1.0")), ["SHA-256", "MD5"]);
    assert_eq!(offered(None), ["MD5", "SHA-256"]);
}
