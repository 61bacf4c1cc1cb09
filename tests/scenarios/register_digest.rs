//! Registration with digest: both algorithms, and nothing to learn for those who guess.

use std::time::Duration;

use tandem_tests::{
    Account, Exchange, HashKind, Message, Phone, RtpEndpoint, Site, Tandem, offer_sdp,
};

#[test]
fn registers_with_md5_and_with_sha_256() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    for (user, hash, host) in [("alice", HashKind::Md5, 2), ("bob", HashKind::Sha256, 3)] {
        let local = site.address(host, 5_060);
        let mut phone = tandem.phone(user, local).with_hash(hash);
        let response = phone.register(120);
        assert_eq!(response.status(), Some(200), "{response:?}");
        let contact = response.expect("Contact");
        assert!(contact.contains(&local.to_string()), "{contact}");
        assert!(expires(&response) <= 120, "{response:?}");

        let response = phone.register(0);
        assert_eq!(response.status(), Some(200), "{response:?}");
        assert_eq!(response.header("Contact"), None, "the registration ended");
    }
    tandem.stop();
}

/// Whoever tries names and passwords must not see which of the two was wrong.
#[test]
fn a_wrong_password_and_an_unknown_user_look_alike() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let account = tandem.account("alice");
    let stranger = Account {
        user: "allie".to_owned(),
        ..account.clone()
    };
    let guesser = Account {
        password: "guess".to_owned(),
        ..account
    };
    let [wrong_password, unknown_user] = [(guesser, 2), (stranger, 3)].map(|(account, host)| {
        let mut phone = Phone::new(site.address(host, 5_060), tandem.sip(), account);
        let response = phone.register(60);
        assert!(matches!(response.status(), Some(401 | 403)), "{response:?}");
        response
    });
    assert_eq!(wrong_password.start, unknown_user.start);
    assert_eq!(shape(&wrong_password), shape(&unknown_user));
    assert_eq!(wrong_password.body, unknown_user.body);
    tandem.stop();
}

#[test]
fn nobody_registers_or_calls_in_the_name_of_another() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let mut bob = tandem.phone("bob", site.address(3, 5_060));
    assert_eq!(bob.register(60).status(), Some(200));

    // Mallory has an account and knows no secret but hers.
    let mallory = tandem.account("mallory");
    let mut phone = Phone::new(site.address(4, 5_060), tandem.sip(), mallory.clone());
    let request = phone
        .request("REGISTER", &format!("sip:{}", mallory.domain))
        .with("From", format!("<{}>;tag=m", mallory.uri()))
        .with("To", format!("<sip:bob@{}>", mallory.domain))
        .with("Call-ID", "not-mine")
        .with("CSeq", "1 REGISTER")
        .with("Contact", format!("<sip:bob@{}>", phone.address()));
    let (_, response) = phone.transact(request);
    assert_eq!(response.status(), Some(403), "{response:?}");

    let request = phone
        .request("INVITE", &format!("sip:bob@{}", mallory.domain))
        .with("From", format!("<sip:alice@{}>;tag=m", mallory.domain))
        .with("To", format!("<sip:bob@{}>", mallory.domain))
        .with("Call-ID", "not-alice")
        .with("CSeq", "1 INVITE")
        .with("Contact", format!("<sip:alice@{}>", phone.address()))
        .with_sdp(&offer_sdp(&RtpEndpoint::new(site.ip(4)), 1, "sendrecv"));
    let (_, response) = phone.transact(request);
    assert_eq!(response.status(), Some(403), "{response:?}");
    assert!(bob.is_quiet(Duration::from_millis(300)), "bob rang");
    tandem.stop();
}

/// An answer that was overheard is worth nothing: the nonce counts.
#[test]
fn credentials_cannot_be_used_again_from_elsewhere() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let mut alice = tandem.phone("alice", site.address(2, 5_060));
    let account = alice.account().clone();
    let request = alice
        .request("REGISTER", &format!("sip:{}", account.domain))
        .with("From", format!("<{}>;tag=a", account.uri()))
        .with("To", format!("<{}>", account.uri()))
        .with("Call-ID", "overheard")
        .with("CSeq", "1 REGISTER")
        .with("Contact", format!("<sip:alice@{}>", alice.address()));
    let (overheard, response) = alice.transact(request);
    assert_eq!(response.status(), Some(200), "{response:?}");

    let mut thief = Phone::new(site.address(4, 5_060), tandem.sip(), account.clone());
    let mut replayed = thief
        .request("REGISTER", &format!("sip:{}", account.domain))
        .with("From", format!("<{}>;tag=t", account.uri()))
        .with("To", format!("<{}>", account.uri()))
        .with("Call-ID", "replayed")
        .with("CSeq", "1 REGISTER")
        .with("Contact", format!("<sip:alice@{}>", thief.address()));
    replayed = replayed.with("Authorization", overheard.expect("Authorization"));
    let refused = thief.send_and_await(&replayed);
    assert_eq!(refused.status(), Some(401), "{refused:?}");
    tandem.stop();
}

/// The seconds that a contact was granted.
fn expires(response: &Message) -> u32 {
    let contact = response.expect("Contact");
    let value = contact.rsplit_once("expires=").map(|(_, value)| value);
    let digits = value.and_then(|value| value.split([';', ',']).next());
    digits
        .and_then(|digits| digits.parse().ok())
        .expect("a contact says when it expires")
}

/// Names of headers, and the values of those that may not differ.
fn shape(response: &Message) -> Vec<String> {
    let differing = ["via", "from", "to", "call-id", "www-authenticate", "date"];
    let headers = response.headers.iter();
    headers
        .map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            if differing.contains(&name.as_str()) {
                name
            } else {
                format!("{name}: {value}")
            }
        })
        .collect()
}
