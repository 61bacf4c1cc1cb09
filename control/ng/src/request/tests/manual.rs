//! What docs/ng.md says is there is there, and nothing that it says is not.

use crate::{Dictionary, Flag, Request, RequestError, Value, Word};

const MANUAL: &str = include_str!("../../../../../docs/ng.md");

/// The cells of the table below a heading.
pub(super) fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = MANUAL.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    let rows = lines.map(|line| line.trim_matches('|').split('|').map(str::trim));
    let rows: Vec<Vec<_>> = rows.map(Iterator::collect).collect();
    assert!(!rows.is_empty(), "{heading} has a table");
    rows
}

pub(super) fn name(cell: &'static str) -> &'static str {
    cell.trim_matches('`')
}

pub(super) fn is_there(cell: &str) -> bool {
    assert!(["yes", "no"].contains(&cell), "{cell}");
    cell == "yes"
}

/// A request with all that any command needs.
pub(super) fn whole(command: &'static str) -> Dictionary<'static> {
    let keys = ["call-id", "from-tag", "to-tag", "sdp", "body"];
    let start = Dictionary::new().with("command", command);
    keys.iter().fold(start, |all, key| all.with(key, "v=0"))
}

/// How many words of a request are not acted on.
fn unheeded(dictionary: Dictionary<'_>) -> u32 {
    let document = Value::from(dictionary);
    Request::parse(&document).unwrap().unheeded.count
}

/// Keys of the protocol, in one spelling each.
const KEYS: &str = "address,address family,alias-key,all,audio-player,blob,blob64,bundle,call-id,calls,code,codec,\
    command,db-id,delete delay,delay-buffer,digit,direction,drop-traffic,DTLS,DTLS-fingerprint,DTMF-delay,\
    DTMF-log-dest,DTMF-security,duration,endpoint-learning,extmap,file,flags,frequency,from-interface,from-tag,\
    from-tags,generate RTCP,ICE,ICE-lite,inbound-peer,instance,interface,label,limit,media,media address,media echo,\
    medias,metadata,moh,OSRTP,outbound-peer,output-destination,passthrough,pause,peer,ptime,ptime-reverse,\
    received-from,record call,recording-dir,recording-file,recording-media-slots,recording-pattern,repeat-duration,\
    repeat-times,replace,rtcp-mux,rtpp-flags,SDES,sdp,sdp-attr,sdp-media-remove,set-label,SIP code,SIP message type,\
    source-call-id,source-tag,start-pos,supports,T.38,T.38-version,tags,template,to-call-id,to-interface,to-label,\
    to-tag,TOS,transport protocol,trigger,trigger-end,trigger-end-digits,trigger-end-time,via-branch,volume,\
    vsc-start-rec,xmlrpc-callback";

/// Flags of the protocol, in one spelling each.
const FLAGS: &str = "all,allow asymmetric codecs,allow no codec media,allow transcoding,always transcode,asymmetric,\
    audio player,bidirectional,block DTMF,block egress,block short,debug,detect DTMF,directional,discard recording,\
    early media,egress,exclude recording,fast,fatal,force transcoding,fragment,full rtcp attribute,generate mid,\
    generate RTCP,inactive,inject DTMF,loop protect,media handover,mix,NAT wait,new branch,no audio player,\
    no codec renegotiation,no jitter buffer,no passthrough,no port latching,no redis update,no rtcp attribute,\
    no-tls-id,original sendrecv,pad crypto,passthrough,pierce NAT,port latching,provisional,record call,\
    recording announcement,recording VSC,recrypt,reject ICE,reorder codecs,reset,reuse codecs,RTCP mirror,single codec,\
    SIP source address,SIPREC,skip recording db,static codecs,strict source,strip extmap,symmetric,symmetric codecs,\
    to tag,trickle ICE,trust address,unidirectional,unsubscribe,WebRTC";

#[test]
fn each_word_of_the_protocol_is_in_the_manual() {
    for (heading, words) in [("Keys", KEYS), ("Flags", FLAGS)] {
        let rows = table(heading);
        for word in words.split(',').filter(|it| *it != "command") {
            let named = format!("`{word}`");
            let is_told = |row: &Vec<&str>| row[0] == named || row[row.len() - 1].contains(&named);
            assert!(rows.iter().any(is_told), "{heading}: {word}");
        }
    }
}

#[test]
fn commands_are_there_or_unsupported_as_the_manual_says() {
    for row in table("Commands") {
        let document = Value::from(whole(name(row[0])));
        match Request::parse(&document) {
            Ok(request) => {
                let written = request.command.name();
                assert_eq!(written, Some(name(row[0])));
                assert!(is_there(row[1]), "{}", row[0]);
            }
            Err(error) => {
                assert_eq!(error, RequestError::Unsupported, "{}", row[0]);
                assert!(!is_there(row[1]), "{}", row[0]);
            }
        }
    }
}

#[test]
fn keys_are_understood_or_counted_as_the_manual_says() {
    for row in table("Keys") {
        let (key, example) = (name(row[0]), row[2]);
        let mut dictionary = whole("offer");
        if example == "dictionary" {
            let inner = Dictionary::new().with("strip", "x");
            let inner = if key == "codec" {
                inner
            } else {
                Dictionary::new()
            };
            dictionary.push(key.as_bytes(), inner);
        } else if example == "list" {
            let row = Dictionary::new().with("from", "x").with("type", "x");
            dictionary.push(key.as_bytes(), vec![Value::from(row)]);
        } else {
            dictionary.push(key.as_bytes(), name(example));
        }
        assert_eq!(unheeded(dictionary) == 0, is_there(row[1]), "{key}");
    }
}

#[test]
fn flags_are_understood_or_counted_as_the_manual_says() {
    let rows = table("Flags");
    for row in &rows {
        let flag = name(row[0]);
        let dictionary = whole("offer").with("flags", vec![Value::from(flag)]);
        assert_eq!(unheeded(dictionary) == 0, is_there(row[1]), "{flag}");
    }
    for flag in Flag::ALL {
        let is_told = |row: &&Vec<&'static str>| Flag::find(name(row[0]).as_bytes()) == Some(*flag);
        assert!(
            rows.iter().any(|row| is_told(&row)),
            "{flag:?} is not in the manual"
        );
    }
}
