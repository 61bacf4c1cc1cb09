//! RFC 4475 §3.1.2: against the grammar.

use super::{
    Case,
    Expectation::{Accept, Answer, Discard},
    SDP, case, datagram,
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = requests();
    cases.extend(start_lines());
    cases.extend(values());
    cases
}

fn requests() -> Vec<Case> {
    vec![
        case(
            ("badinv01", "3.1.2.1"),
            "separators with nothing between them",
            Answer(400),
            datagram(
                concat!(
                    "INVITE sip:lobby@pbx.example SIP/2.0\n",
                    "To: sip:lobby@pbx.example\n",
                    "From: sip:kiosk@pbx.example;tag=sep1\n",
                    "Max-Forwards: 7\n",
                    "Call-ID: separators.0101@pbx.example\n",
                    "CSeq: 8 INVITE\n",
                    "Via: SIP/2.0/UDP 198.51.100.31;;,;,,\n",
                    "Contact: \"Kiosk\" <sip:kiosk@pbx.example>;;;;\n",
                    "Content-Length: {len}\n",
                    "Content-Type: application/sdp\n",
                ),
                SDP,
            ),
        ),
        case(
            ("clerr", "3.1.2.2"),
            "a Content-Length beyond the end of the datagram",
            Answer(400),
            datagram(
                concat!(
                    "INVITE sip:lobby@pbx.example SIP/2.0\n",
                    "Max-Forwards: 80\n",
                    "To: sip:lobby@pbx.example\n",
                    "From: sip:kiosk@pbx.example;tag=len1\n",
                    "Contact: <sip:kiosk@kiosk1.pbx.example>\n",
                    "Call-ID: toolong.0102@pbx.example\n",
                    "CSeq: 8 INVITE\n",
                    "Via: SIP/2.0/UDP kiosk1.pbx.example;branch=z9hG4bKlen1\n",
                    "Content-Type: application/sdp\n",
                    "Content-Length: 8800\n",
                ),
                SDP,
            ),
        ),
        case(
            ("ncl", "3.1.2.3"),
            "a negative Content-Length",
            Answer(400),
            datagram(
                concat!(
                    "INVITE sip:lobby@pbx.example SIP/2.0\n",
                    "Max-Forwards: 254\n",
                    "To: sip:lobby@pbx.example\n",
                    "From: sip:kiosk@pbx.example;tag=neg1\n",
                    "Call-ID: negative.0103@pbx.example\n",
                    "CSeq: 0 INVITE\n",
                    "Via: SIP/2.0/UDP 198.51.100.33;branch=z9hG4bKneg1\n",
                    "Contact: <sip:kiosk@kiosk2.pbx.example>\n",
                    "Content-Type: application/sdp\n",
                    "Content-Length: -12\n",
                ),
                SDP,
            ),
        ),
        case(
            ("scalar02", "3.1.2.4"),
            "numbers in a request that no integer holds",
            Answer(400),
            datagram(
                concat!(
                    "REGISTER sip:pbx.example SIP/2.0\n",
                    "Via: SIP/2.0/TCP phone9.pbx.example;branch=z9hG4bKbig1\n",
                    "To: <sip:phone9@pbx.example>\n",
                    "From: <sip:phone9@pbx.example>;tag=big1\n",
                    "CSeq: 73786976294838206464 REGISTER\n",
                    "Call-ID: numbers.0104@pbx.example\n",
                    "Max-Forwards: 911\n",
                    "Expires: 777777777777777777777777777777777777777777777777777777777777777777777777777777\n",
                    "Contact: <sip:phone9@phone9.pbx.example>\n",
                    "  ;expires=562949953421312\n",
                    "Content-Length: 0\n",
                ),
                "",
            ),
        ),
        case(
            ("scalarlg", "3.1.2.5"),
            "numbers in a response that no integer holds",
            Discard,
            datagram(
                concat!(
                    "SIP/2.0 503 Service Unavailable\n",
                    "Via: SIP/2.0/TCP phone9.pbx.example;branch=z9hG4bKbig2;received=198.51.100.99\n",
                    "To: <sip:phone9@pbx.example>\n",
                    "From: <sip:other@pbx.example>;tag=big2\n",
                    "CSeq: 8080808080808080808080 OPTIONS\n",
                    "Call-ID: numbers.0105@pbx.example\n",
                    "Retry-After: 31415926535897932384626433\n",
                    "Warning: 2718 intermission \"Please Wait\"\n",
                    "Content-Length: 0\n",
                ),
                "",
            ),
        ),
        case(
            ("quotbal", "3.1.2.6"),
            "a quote that is never closed",
            Answer(400),
            datagram(
                concat!(
                    "INVITE sip:lobby@pbx.example SIP/2.0\n",
                    "To: \"The Lobby <sip:lobby@pbx.example>\n",
                    "From: sip:kiosk@pbx.example;tag=quo1\n",
                    "Max-Forwards: 10\n",
                    "Call-ID: quote.0106@pbx.example\n",
                    "Contact: <sip:kiosk@kiosk4.pbx.example>\n",
                    "CSeq: 8 INVITE\n",
                    "Via: SIP/2.0/UDP 198.51.100.36:5050;branch=z9hG4bKquo1\n",
                    "Content-Type: application/sdp\n",
                    "Content-Length: {len}\n",
                ),
                SDP,
            ),
        ),
    ]
}

fn start_lines() -> Vec<Case> {
    let invite = |start: &str, branch: &str| {
        let head = format!(
            concat!(
                "{}\n",
                "Max-Forwards: 8\n",
                "To: sip:lobby@pbx.example\n",
                "From: sip:kiosk@pbx.example;tag=start1\n",
                "Call-ID: start.{}@pbx.example\n",
                "CSeq: 18 INVITE\n",
                "Via: SIP/2.0/UDP 198.51.100.37;branch=z9hG4bK{}\n",
                "Contact: <sip:kiosk@kiosk5.pbx.example>\n",
                "Content-Type: application/sdp\n",
                "Content-Length: {{len}}\n",
            ),
            start, branch, branch
        );
        datagram(&head, SDP)
    };
    vec![
        case(
            ("ltgtruri", "3.1.2.7"),
            "a request URI in angle brackets",
            Answer(400),
            invite("INVITE <sip:lobby@pbx.example> SIP/2.0", "ltgt"),
        ),
        case(
            ("lwsruri", "3.1.2.8"),
            "a space in the request URI",
            Answer(400),
            invite("INVITE sip:lobby@pbx.example; lr SIP/2.0", "lwsruri"),
        ),
        case(
            ("lwsstart", "3.1.2.9"),
            "two spaces where one should be",
            Answer(400),
            invite("INVITE  sip:lobby@pbx.example  SIP/2.0", "lwsstart"),
        ),
        case(
            ("trws", "3.1.2.10"),
            "spaces after the version",
            Answer(400),
            invite("INVITE sip:lobby@pbx.example SIP/2.0  ", "trws"),
        ),
        case(
            ("escruri", "3.1.2.11"),
            "headers in the request URI",
            Answer(400),
            invite(
                "INVITE sip:lobby@pbx.example?Route=%3Csip:thief.example%3E SIP/2.0",
                "escruri",
            ),
        ),
    ]
}

fn values() -> Vec<Case> {
    let options = |from: &str, to: &str, cseq: &str, id: &str| {
        format!(
            concat!(
                "OPTIONS sip:lobby@pbx.example SIP/2.0\n",
                "Via:     SIP/2.0/UDP kiosk6.pbx.example:5060;branch=z9hG4bK{}\n",
                "Max-Forwards:      70\n",
                "From:    {}\n",
                "To:      {}\n",
                "Call-ID: {}@pbx.example\n",
                "CSeq:    {}\n",
                "l: 0\n",
            ),
            id, from, to, id, cseq
        )
    };
    let (from, to) = ("sip:kiosk@pbx.example;tag=val1", "sip:lobby@pbx.example");
    vec![
        case(
            ("baddate", "3.1.2.12"),
            "a date in another time zone than GMT, which nobody here reads",
            Accept,
            datagram(
                concat!(
                    "INVITE sip:lobby@pbx.example SIP/2.0\n",
                    "To: sip:lobby@pbx.example\n",
                    "From: sip:kiosk@pbx.example;tag=date1\n",
                    "Max-Forwards: 70\n",
                    "Call-ID: date.0112@pbx.example\n",
                    "CSeq: 92 INVITE\n",
                    "Via: SIP/2.0/UDP kiosk6.pbx.example;branch=z9hG4bKdate1\n",
                    "Date: Sun, 29 Feb 2032 09:30:00 CET\n",
                    "Contact: <sip:kiosk@kiosk6.pbx.example>\n",
                    "Content-Type: application/sdp\n",
                    "Content-Length: {len}\n",
                ),
                SDP,
            ),
        ),
        case(
            ("regbadct", "3.1.2.13"),
            "a contact with headers but without brackets",
            Answer(400),
            datagram(
                concat!(
                    "REGISTER sip:pbx.example SIP/2.0\n",
                    "To: sip:kiosk@pbx.example\n",
                    "From: sip:kiosk@pbx.example;tag=ct1\n",
                    "Max-Forwards: 70\n",
                    "Call-ID: contact.0113@pbx.example\n",
                    "CSeq: 1 REGISTER\n",
                    "Via: SIP/2.0/UDP 198.51.100.43:5060;branch=z9hG4bKct1\n",
                    "Contact: sip:kiosk@pbx.example?Route=%3Csip:edge.pbx.example%3E\n",
                    "l: 0\n",
                ),
                "",
            ),
        ),
        case(
            ("badaspec", "3.1.2.14"),
            "spaces inside the brackets",
            Answer(400),
            datagram(
                &options(
                    "\"Kiosk, Front\" <sip:kiosk@pbx.example>;tag=val2",
                    "\"Lobby, Main\" < sip:lobby@pbx.example >",
                    "3 OPTIONS",
                    "aspec.0114",
                ),
                "",
            ),
        ),
        case(
            ("baddn", "3.1.2.15"),
            "a comma in a name without quotes",
            Answer(400),
            datagram(
                &options(
                    "Kiosk, Front <sip:kiosk@pbx.example>;tag=val3",
                    "Lobby, Main <sip:lobby@pbx.example>",
                    "4 OPTIONS",
                    "name.0115",
                ),
                "",
            ),
        ),
        case(
            ("badvers", "3.1.2.16"),
            "a version from the future",
            Answer(505),
            datagram(
                &options(from, to, "5 OPTIONS", "version.0116").replace("SIP/2.0", "SIP/8.1"),
                "",
            ),
        ),
        case(
            ("mismatch01", "3.1.2.17"),
            "another method in CSeq than in the first line",
            Answer(400),
            datagram(&options(from, to, "8 INVITE", "method.0117"), ""),
        ),
        case(
            ("mismatch02", "3.1.2.18"),
            "another method in CSeq than the unknown one in the first line",
            Answer(400),
            datagram(
                &options(from, to, "9 INVITE", "method.0118")
                    .replace("OPTIONS sip", "FROBNICATE sip"),
                "",
            ),
        ),
        case(
            ("bigcode", "3.1.2.19"),
            "a status that wraps round to a valid one",
            Discard,
            datagram(
                concat!(
                    "SIP/2.0 4294967496 wraps to two hundred\n",
                    "Via: SIP/2.0/UDP 198.51.100.49;branch=z9hG4bKwrap\n",
                    "Call-ID: code.0119@pbx.example\n",
                    "CSeq: 35 INVITE\n",
                    "From: <sip:kiosk@pbx.example>;tag=wrap1\n",
                    "To: <sip:lobby@pbx.example>;tag=wrap2\n",
                    "Content-Length: 0\n",
                    "Contact: <sip:lobby@lobby1.pbx.example>\n",
                ),
                "",
            ),
        ),
    ]
}
