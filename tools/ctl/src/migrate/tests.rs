use super::*;

fn toml(arguments: &str) -> String {
    let arguments: Vec<_> = arguments.split(' ').map(str::to_owned).collect();
    translate(read::command_line(&arguments)).0.to_toml()
}

fn outcome(name: &str, value: &str) -> Kind {
    let (_, mut outcomes) = translate(vec![Given::new(name, value)]);
    outcomes.remove(0).kind
}

#[test]
fn what_is_written_is_a_settings_file_of_ours() {
    let text = toml(
        "-t -1 -i foo/203.0.113.1!198.51.100.9 -i foo/2001:db8::1 -i blah=foo -n 2223 -f -L 7 -E \
         --endpoint-learning=delayed --timeout 30 -m 3000 -M 4000 --max-sessions=10 --tos=184",
    );
    let path = std::path::Path::new("tandem.toml");
    let loaded = tandem_settings::Loaded::parse(path, &text).expect("it can be read");
    let file = loaded.file;
    let interfaces = ["foo=203.0.113.1!198.51.100.9", "foo=2001:db8::1"];
    assert_eq!(file.relay.interfaces, interfaces);
    assert_eq!((file.relay.ports, file.relay.dscp), ([3_000, 3_999], 46));
    assert_eq!(file.control.listen, ["127.0.0.1:2223".parse().unwrap()]);
    assert_eq!(file.control.media_timeout_s, 30);
    let other_sources = tandem_settings::OtherSources::Forward;
    assert_eq!(
        file.control.other_sources, other_sources,
        "as rtpengine does"
    );
    assert_eq!(
        (file.control.calls_max, file.control.delete_delay_s),
        (10, 30)
    );
}

#[test]
fn one_address_may_have_two_names() {
    let text = toml("-i lan/192.0.2.1 -i wan/192.0.2.1!198.51.100.9");
    let interfaces = r#"["lan=192.0.2.1", "wan=192.0.2.1!198.51.100.9"]"#;
    assert!(text.contains(interfaces), "{text}");
}

#[test]
fn a_settings_file_says_the_same_as_a_command_line() {
    let file = "# made by hand\n[rtpengine]\ninterface = a/192.0.2.1;b/192.0.2.2\n\
                listen-ng = localhost:2223\nforeground = false\nlog-stderr = true\n\
                timeout=60\n\n[interface-c]\naddress = 192.0.2.3\nport-min = 3000\n\
                port-max = 3999\n[templates]\nx = y\n";
    let from_file = translate(read::file(file, "rtpengine").unwrap()).0;
    let text = from_file.to_toml();
    assert!(
        text.contains(r#"["a=192.0.2.1", "b=192.0.2.2", "c=192.0.2.3;ports=3000-3999"]"#),
        "{text}"
    );
    assert!(text.contains("media_timeout_s = 60"), "{text}");
    let given = read::file(file, "rtpengine").unwrap();
    assert!(
        !given.iter().any(|it| it.name == "foreground"),
        "it was set to false"
    );
    assert!(read::file(file, "other").is_err());
    assert!(read::file("[rtpengine]\nnonsense\n", "rtpengine").is_err());
}

#[test]
fn requests_come_by_the_same_transports() {
    let words = [
        "--listen-tcp-ng=192.0.2.1:2224",
        "--listen-http=localhost:2225",
        "--listen-https=192.0.2.1:443",
        "--https-cert=/etc/rtpengine/cert.pem",
        "--https-key=/etc/rtpengine/key.pem",
    ];
    let given = read::command_line(&words.map(str::to_owned));
    let text = translate(given).0.to_toml();
    assert!(
        text.contains(r#"listen_tcp = ["192.0.2.1:2224"]"#),
        "{text}"
    );
    assert!(
        text.contains(r#"listen_http = ["127.0.0.1:2225"]"#),
        "{text}"
    );
    let path = std::path::Path::new("tandem.toml");
    let loaded = tandem_settings::Loaded::parse(path, &text).expect("it can be read");
    let control = &loaded.file.control;
    assert_eq!(control.listen_https, ["192.0.2.1:443".parse().unwrap()]);
    let files = [loaded.tls_certificate(), loaded.tls_key()];
    let expected = ["/etc/rtpengine/cert.pem", "/etc/rtpengine/key.pem"];
    assert_eq!(files, expected.map(|it| Some(it.into())));
}

#[test]
fn keys_are_told_where_they_were_told() {
    let text = toml("--dtmf-log-dest=localhost:9999 --dtmf-log-ng-tcp");
    assert!(text.contains(r#"dtmf_log = "127.0.0.1:9999""#), "{text}");
    assert!(text.contains("dtmf_log_ng_tcp = true"), "{text}");
    assert!(!toml("--dtmf-log-dest=localhost:9999").contains("ng_tcp"));
    assert_eq!(outcome("dtmf-log-dest", "nowhere"), outcome("timeout", "x"));
}

#[test]
fn preferences_of_codecs_stay() {
    let file = "[rtpengine]\ntranscode-config = tc\n[tc-a]\nsource = PCMU\ndestination = opus\n\
                preference = -5\n[tc-b]\nsource = PCMA\ndestination = PCMU\n\
                transform = 192.0.2.1:2223\n[other-c]\nsource = x\n";
    let (settings, outcomes) = translate(read::file(file, "rtpengine").unwrap());
    let text = settings.to_toml();
    assert!(
        text.contains(r#"codec_preferences = ["PCMU>opus=-5"]"#),
        "{text}"
    );
    let kinds: Vec<_> = outcomes.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [Kind::Kept, Kind::NotSupported]);
    assert!(text.contains("opus_complexity = 10"), "as rtpengine does");
}

#[test]
fn the_command_line_has_precedence() {
    let file = vec![Given::new("timeout", "1"), Given::new("tos", "0")];
    let merged = read::merge(file, read::command_line(&["--timeout=2".to_owned()]));
    assert_eq!(merged, [Given::new("tos", "0"), Given::new("timeout", "2")]);
}

#[test]
fn each_option_has_one_outcome_and_a_reason() {
    assert_eq!(outcome("timeout", "60"), Kind::Kept);
    assert_eq!(outcome("table", "0"), Kind::NotNeeded);
    assert_eq!(outcome("log-level-core", "7"), Kind::NotNeeded);
    assert_eq!(outcome("recording-dir", "/x"), Kind::NotSupported);
    assert_eq!(outcome("timeout", "soon"), Kind::Wrong);
    assert_eq!(outcome("interface", "any"), Kind::Wrong);
    assert_eq!(outcome("tiemout", "60"), Kind::Wrong);
}

/// All options of `rtpengine --help`, 10.5.3; those that want a value end so.
const OPTIONS: &str = "\
    active-switchover amr-dtx= b2b-url= cn-payload= codecs config-file= config-section= \
    control-tos= debug-srtp delete-delay= dtls-cert-cipher= dtls-ciphers= dtls-mtu= dtls-passive \
    dtls-rsa-key-size= dtls-signature= dtmf-digit-delay= dtmf-log-dest= dtmf-log-ng-tcp \
    dtmf-no-suppress dtx-buffer= dtx-cn-params= dtx-delay= dtx-lag= dtx-shift= \
    endpoint-learning= final-timeout= foreground graphite= graphite-interval= graphite-prefix= \
    graphite-timeout= help homer= homer-id= homer-protocol= http-threads= https-cert= https-key= \
    idle-priority= idle-scheduling= interface= iptables-chain= janus-secret= jb-clock-drift \
    jitter-buffer= listen-cli= listen-http= listen-https= listen-ng= listen-tcp= listen-tcp-ng= \
    listen-udp= log-facility= log-facility-cdr= log-facility-dtmf= log-facility-rtcp= \
    log-format= log-level= log-level-codec= log-level-control= log-level-core= log-level-crypto= \
    log-level-dtx= log-level-ffmpeg= log-level-http= log-level-ice= log-level-internals= \
    log-level-rtcp= log-level-spandsp= log-level-srtp= log-level-transcoding= log-mark-prefix= \
    log-mark-suffix= log-srtp-keys log-stderr max-bandwidth= max-cpu= max-dtx= max-load= \
    max-log-line-length= max-sessions= media-num-threads= mos= mqtt-cafile= mqtt-capath= \
    mqtt-certfile= mqtt-host= mqtt-id= mqtt-keepalive= mqtt-keyfile= mqtt-pass= mqtt-port= \
    mqtt-publish-interval= mqtt-publish-qos= mqtt-publish-scope= mqtt-publish-topic= mqtt-user= \
    mysql-host= mysql-pass= mysql-port= mysql-query= mysql-user= no-fallback no-log-timestamps \
    no-redis-required num-threads= offer-timeout= pidfile= poller-per-thread port-max= port-min= \
    priority= recording-dir= recording-format= recording-method= redis= redis-allowed-errors= \
    redis-cmd-timeout= redis-connect-timeout= redis-delete-async= redis-delete-async-interval= \
    redis-disable-time= redis-expires= redis-num-threads= redis-write= reject-invalid-sdp \
    save-interface-ports scheduling= silence-detect= silent-timeout= sip-source \
    socket-cpu-affinity= software-id= split-logs subscribe-keyspace= table= thread-stack= \
    timeout= tos= version xmlrpc-format=";

#[test]
fn something_is_said_of_each_option_that_rtpengine_has() {
    let mut options = 0;
    for option in OPTIONS.split(' ') {
        let name = option.trim_end_matches('=');
        assert!(options::fate(name).is_some(), "{name}");
        assert_eq!(options::is_switch(name), name == option, "{name}");
        let (_, outcomes) = translate(vec![Given::new(name, "1")]);
        assert!(outcomes.iter().all(|it| !it.text.is_empty()), "{name}");
        options += 1;
    }
    assert_eq!(options, 142);
}

#[test]
fn letters_may_stand_together() {
    let arguments = ["-fE", "-n2223", "-o", "7"].map(str::to_owned);
    let names: Vec<_> = read::command_line(&arguments)
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!(names, ["foreground", "log-stderr", "listen-ng", "timeout"]);
}
