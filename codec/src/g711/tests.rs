use super::*;

fn octets() -> impl Iterator<Item = u8> {
    0..=u8::MAX
}

fn samples() -> impl Iterator<Item = i16> {
    i16::MIN..=i16::MAX
}

#[test]
fn known_values() {
    // G.711, tables 1a, 1b, 2a and 2b: both ends and the middle of each range.
    assert_eq!(ALAW.decode(0xd5), 8);
    assert_eq!(ALAW.decode(0x55), -8);
    assert_eq!(ALAW.decode(0xaa), 32_256);
    assert_eq!(ALAW.decode(0x2a), -32_256);
    assert_eq!(ULAW.decode(0xff), 0);
    assert_eq!(ULAW.decode(0x7f), 0);
    assert_eq!(ULAW.decode(0x80), 32_124);
    assert_eq!(ULAW.decode(0x00), -32_124);
    assert_eq!((ALAW.encode(0), ULAW.encode(0)), (0xd5, 0xff));
    assert_eq!((ALAW.encode(i16::MAX), ULAW.encode(i16::MAX)), (0xaa, 0x80));
    assert_eq!((ALAW.encode(i16::MIN), ULAW.encode(i16::MIN)), (0x2a, 0x00));
}

#[test]
fn an_octet_comes_back_as_itself() {
    for octet in octets() {
        assert_eq!(ALAW.encode(ALAW.decode(octet)), octet);
        // µ-law has two zeros; the negative one becomes the positive.
        let expected = if octet == 0x7f { 0xff } else { octet };
        assert_eq!(ULAW.encode(ULAW.decode(octet)), expected);
    }
}

#[test]
fn louder_samples_never_become_softer() {
    fn check<const N: usize>(law: &Law<N>) {
        let decoded: Vec<_> = samples()
            .map(|sample| law.decode(law.encode(sample)))
            .collect();
        assert!(decoded.is_sorted());
    }
    check(&ALAW);
    check(&ULAW);
}

#[test]
fn every_sample_becomes_the_step_that_it_lies_in() {
    // Sixteen steps to a segment, of which each is twice as wide as the one below.
    for sample in samples() {
        for decoded in [
            ALAW.decode(ALAW.encode(sample)),
            ULAW.decode(ULAW.encode(sample)),
        ] {
            let magnitude = i32::from(sample).abs();
            let error = (i32::from(decoded) - i32::from(sample)).abs();
            let half_step = ((magnitude + 132) / 32).max(8);
            let is_clipped = magnitude > 32_124;
            assert!(error <= half_step + 4 || is_clipped, "{sample} → {decoded}");
        }
    }
}

#[test]
fn the_nearest_sample_is_nearest_and_has_its_octet() {
    fn check<const N: usize>(law: &Law<N>) {
        let all: std::collections::BTreeSet<_> = octets().map(|it| law.decode(it)).collect();
        for sample in samples() {
            // 14 bits of it.
            let regarded = i32::from(sample.div_euclid(4)) * 4;
            let away = |it: &i16| (i32::from(*it) - regarded).abs();
            let expected = all
                .iter()
                .min_by_key(|it| (away(it), -i32::from(**it).abs(), (**it < 0) != (sample < 0)));
            let nearest = law.nearest(sample);
            assert_eq!(Some(&nearest), expected, "{sample}");
            assert_eq!(law.decode(law.encode(nearest)), nearest, "{sample}");
        }
    }
    check(&ALAW);
    check(&ULAW);
}

#[test]
fn from_law_to_law_is_the_same_as_by_way_of_samples() {
    for octet in octets() {
        assert_eq!(alaw_to_ulaw(octet), ULAW.encode(ALAW.decode(octet)));
        let nearest = ALAW.nearest(ULAW.decode(octet));
        assert_eq!(ulaw_to_alaw(octet), ALAW.encode(nearest));
    }
}

#[test]
fn from_law_to_law_both_signs_are_alike() {
    for step in 1..128 {
        let [down, up] = [step, step | 0x80].map(|it| it ^ 0x7f);
        assert_eq!(ulaw_to_alaw(down), ulaw_to_alaw(up) ^ 0x80, "{step}");
        let [down, up] = [step, step | 0x80].map(|it| it ^ 0x55);
        assert_eq!(alaw_to_ulaw(down), alaw_to_ulaw(up) ^ 0x80, "{step}");
    }
    // G.711, table 3: the first values of µ-law come in pairs.
    for step in 0..16_u8 {
        assert_eq!(
            ulaw_to_alaw((step | 0x80) ^ 0x7f),
            ((step / 2) | 0x80) ^ 0x55
        );
    }
}

#[test]
fn buffers_of_different_length_are_filled_as_far_as_both_reach() {
    let mut samples = [0; 2];
    assert_eq!(ALAW.decode_into(&[0xd5, 0x55, 0xd5], &mut samples), 2);
    assert_eq!(samples, [8, -8]);
    let mut payload = [0; 4];
    assert_eq!(ULAW.encode_into(&samples, &mut payload), 2);
    assert_eq!(payload[..2], [ULAW.encode(8), ULAW.encode(-8)]);
}

#[test]
fn a_payload_is_translated_where_it_lies() {
    let all: Vec<u8> = octets().collect();
    let mut payload = all.clone();
    alaw_to_ulaw_in_place(&mut payload);
    let expected: Vec<u8> = octets().map(alaw_to_ulaw).collect();
    assert_eq!(payload, expected);
    payload.copy_from_slice(&all);
    ulaw_to_alaw_in_place(&mut payload);
    let expected: Vec<u8> = octets().map(ulaw_to_alaw).collect();
    assert_eq!(payload, expected);
}
