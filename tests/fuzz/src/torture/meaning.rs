//! RFC 4475 §3.2 to §3.4: follows the grammar, and yet something is wrong or old.

use super::{
    Case,
    Expectation::{Accept, Answer},
    SDP, case, datagram,
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = transactions();
    cases.extend(schemes());
    cases.extend(extensions());
    cases.extend(counts());
    cases.extend(contacts());
    cases.extend(bodies());
    cases
}

/// A request whose fields are nothing special, but for what is given.
fn plain(method: &str, uri: &str, to: &str, from: &str, id: &str, more: &str) -> String {
    format!(
        concat!(
            "{method} {uri} SIP/2.0\n",
            "To: {to}\n",
            "From: {from}\n",
            "Call-ID: {id}@pbx.example\n",
            "CSeq: 234902 {method}\n",
            "Via: SIP/2.0/UDP 198.51.100.51:5060;branch=z9hG4bK{id}\n",
            "{more}",
        ),
        method = method,
        uri = uri,
        to = to,
        from = from,
        id = id,
        more = more
    )
}

const TO: &str = "sip:studio@pbx.example";
const FROM: &str = "sip:van@pbx.example;tag=mean1";

fn transactions() -> Vec<Case> {
    let head = plain(
        "OPTIONS",
        TO,
        TO,
        FROM,
        "cookie.0201",
        "Max-Forwards: 3\nl: 0\n",
    );
    vec![
        case(
            ("badbranch", "3.2.1"),
            "a branch that is nothing but the magic cookie",
            Accept,
            datagram(&head.replace("z9hG4bKcookie.0201", "z9hG4bK"), ""),
        ),
        case(
            ("insuf", "3.3.1"),
            "no From, no To, no Call-ID, no Max-Forwards",
            Answer(400),
            datagram(
                concat!(
                    "INVITE sip:studio@pbx.example SIP/2.0\n",
                    "CSeq: 19 INVITE\n",
                    "Via: SIP/2.0/UDP 198.51.100.52;branch=z9hG4bK.insuf\n",
                    "Content-Type: application/sdp\n",
                    "l: {len}\n",
                ),
                SDP,
            ),
        ),
    ]
}

fn schemes() -> Vec<Case> {
    let options = |uri: &str, id: &str| {
        datagram(
            &plain(
                "OPTIONS",
                uri,
                TO,
                FROM,
                id,
                "Max-Forwards: 3\nContent-Length: 0\n",
            ),
            "",
        )
    };
    vec![
        case(
            ("unkscm", "3.3.2"),
            "a request URI whose scheme nobody knows",
            Answer(416),
            options("smokeSignal:three-puffs-then-one", "scheme.0302"),
        ),
        case(
            ("novelsc", "3.3.3"),
            "a request URI whose scheme is known but is no place for calls",
            Answer(416),
            options("ftp.tls://198.51.100.53:2121", "scheme.0303"),
        ),
        case(
            ("unksm2", "3.3.4"),
            "unknown schemes in To, From and Contact",
            Accept,
            datagram(
                &plain(
                    "REGISTER",
                    "sip:pbx.example",
                    "issn:1535-3613",
                    "<gopher://van.pbx.example>;tag=mean2",
                    "scheme.0304",
                    "Max-Forwards: 70\nContact: <person:Van_Driver>\nl: 0\n",
                ),
                "",
            ),
        ),
    ]
}

fn extensions() -> Vec<Case> {
    let options = |id: &str, more: &str| datagram(&plain("OPTIONS", TO, TO, FROM, id, more), "");
    vec![
        case(
            ("bext01", "3.3.5"),
            "extensions required that nobody has",
            Answer(420),
            options(
                "require.0305",
                concat!(
                    "Max-Forwards: 6\n",
                    "Require: levitation, telepathy\n",
                    "Proxy-Require: noGatewayDoesThis, norThat\n",
                    "Content-Length: 0\n",
                ),
            ),
        ),
        case(
            ("invut", "3.3.6"),
            "a body of a type that nobody knows",
            Accept,
            datagram(
                &plain(
                    "INVITE",
                    TO,
                    TO,
                    FROM,
                    "type.0306",
                    concat!(
                        "Max-Forwards: 70\n",
                        "Contact: <sip:van@van1.pbx.example>\n",
                        "Content-Type: application/semaphore\n",
                        "Content-Length: {len}\n",
                    ),
                ),
                "<flags>\n <left angle=\"45\"/>\n</flags>\n",
            ),
        ),
        case(
            ("regaut01", "3.3.7"),
            "credentials of a scheme that nobody knows",
            Accept,
            datagram(
                &plain(
                    "REGISTER",
                    "sip:pbx.example",
                    TO,
                    "sip:studio@pbx.example;tag=mean3",
                    "scheme.0307",
                    concat!(
                        "Max-Forwards: 8\n",
                        "Authorization: SecretHandshake left-hand=twice\n",
                        "Content-Length:0\n",
                    ),
                ),
                "",
            ),
        ),
    ]
}

fn counts() -> Vec<Case> {
    vec![
        case(
            ("multi01", "3.3.8"),
            "two of every field that may stand once",
            Answer(400),
            datagram(
                concat!(
                    "INVITE sip:studio@pbx.example SIP/2.0\n",
                    "Contact: <sip:van@van2.pbx.example>\n",
                    "Via: SIP/2.0/UDP 198.51.100.58;branch=z9hG4bKmulti\n",
                    "Max-Forwards: 70\n",
                    "CSeq: 6 INVITE\n",
                    "Call-ID: several.0308@pbx.example\n",
                    "CSeq: 60 INVITE\n",
                    "Call-ID: several.0309@pbx.example\n",
                    "From: sip:van@pbx.example;tag=multi1\n",
                    "To: sip:studio@pbx.example\n",
                    "To: sip:garage@pbx.example\n",
                    "From: sip:van@pbx.example;tag=multi2\n",
                    "Content-Type: application/sdp\n",
                    "l: {len}\n",
                    "Contact: <sip:van@van3.pbx.example>\n",
                    "Max-Forwards: 5\n",
                ),
                SDP,
            ),
        ),
        case(
            ("mcl01", "3.3.9"),
            "two lengths of one body",
            Answer(400),
            datagram(
                concat!(
                    "OPTIONS sip:studio@pbx.example SIP/2.0\n",
                    "Via: SIP/2.0/UDP van4.pbx.example;branch=z9hG4bKtwolen\n",
                    "To: sip:studio@pbx.example\n",
                    "From: sip:van@pbx.example;tag=twolen\n",
                    "Call-ID: lengths.0309@pbx.example\n",
                    "CSeq: 15 OPTIONS\n",
                    "Content-Length: 11\n",
                    "Max-Forwards: 60\n",
                    "Content-Length: 4\n",
                    "Content-Type: text/plain\n",
                ),
                "Which of the two is it to be?\n",
            ),
        ),
        case(
            ("bcast", "3.3.10"),
            "a response that, passed on as it says, would go to everybody",
            Accept,
            datagram(
                concat!(
                    "SIP/2.0 200 OK\n",
                    "Via: SIP/2.0/UDP 198.51.100.60;branch=z9hG4bKcast1\n",
                    "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKcast2\n",
                    "Call-ID: everybody.0310@pbx.example\n",
                    "CSeq: 35 INVITE\n",
                    "From: sip:van@pbx.example;tag=cast1\n",
                    "To: sip:studio@pbx.example;tag=cast2\n",
                    "Content-Length: {len}\n",
                    "Content-Type: application/sdp\n",
                    "Contact: <sip:studio@studio1.pbx.example>\n",
                ),
                SDP,
            ),
        ),
        case(
            ("zeromf", "3.3.11"),
            "no hops left",
            Answer(483),
            datagram(
                &plain(
                    "OPTIONS",
                    TO,
                    TO,
                    FROM,
                    "hops.0311",
                    "Max-Forwards: 0\nContent-Length: 0\n",
                ),
                "",
            ),
        ),
    ]
}

fn contacts() -> Vec<Case> {
    let register = |id: &str, contact: &str| {
        let more = format!("Max-Forwards: 70\n{contact}\nl:0\n");
        let head = plain(
            "REGISTER",
            "sip:pbx.example",
            TO,
            "sip:studio@pbx.example;tag=reg1",
            id,
            &more,
        );
        datagram(&head, "")
    };
    vec![
        case(
            ("cparam01", "3.3.12"),
            "a parameter of the contact header that nobody knows",
            Accept,
            register(
                "param.0312",
                "Contact: sip:+15550100@gate1.pbx.example;odd-one",
            ),
        ),
        case(
            ("cparam02", "3.3.13"),
            "a parameter of the contact's URI that nobody knows",
            Accept,
            register(
                "param.0313",
                "Contact: <sip:+15550100@gate1.pbx.example;odd-one>",
            ),
        ),
        case(
            ("regescrt", "3.3.14"),
            "a contact with headers in its URI",
            Accept,
            register(
                "header.0314",
                "M: <sip:studio@pbx.example?Route=%3Csip:edge.pbx.example%3E>",
            ),
        ),
    ]
}

fn bodies() -> Vec<Case> {
    vec![
        case(
            ("sdp01", "3.3.15"),
            "an offer whose answer may come in no form that anybody knows",
            Accept,
            datagram(
                &plain(
                    "INVITE",
                    TO,
                    TO,
                    FROM,
                    "accept.0315",
                    concat!(
                        "Max-Forwards: 5\n",
                        "Contact: <sip:van@van5.pbx.example>\n",
                        "Accept: text/knitting-pattern\n",
                        "Content-Length: {len}\n",
                        "Content-Type: application/sdp\n",
                    ),
                ),
                SDP,
            ),
        ),
        case(
            ("inv2543", "3.4.1"),
            "as RFC 2543 had it: no branch, no tag, no Max-Forwards, no lr, no length",
            Accept,
            datagram(
                concat!(
                    "INVITE sip:veteran@pbx.example SIP/2.0\n",
                    "Via: SIP/2.0/UDP museum.pbx.example\n",
                    "From: <sip:+15550111@museum.pbx.example;user=phone>\n",
                    "Record-Route: <sip:veteran@pbx.example;maddr=old.pbx.example>\n",
                    "To: sip:+15550122@pbx.example;user=phone\n",
                    "Call-ID: old.0401@museum.pbx.example\n",
                    "CSeq: 56 INVITE\n",
                    "Content-Type: application/sdp\n",
                ),
                SDP,
            ),
        ),
    ]
}
