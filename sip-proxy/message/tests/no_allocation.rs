//! Reading a message takes no memory: nobody can make the proxy slow by making it allocate.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sip_proxy_message::{
    Contacts, HeaderId, Message, Uri, validate_forward, validate_local, validate_request,
};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// JUSTIFICATION: counting allocations takes an allocator, and its trait is unsafe to implement.
// SAFETY: every call goes to the system's allocator as it came; counting is a thread-local number
// without a destructor, so it neither allocates nor is gone before the thread is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout, as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

const INVITE: &[u8] = b"INVITE sip:bob@pbx.example;transport=udp SIP/2.0\r\n\
    Via: SIP/2.0/UDP 198.51.100.23:5060;branch=z9hG4bKPj3f0f8a8a2b;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:alice@pbx.example>;tag=f2c0b7e1d5\r\n\
    To: <sip:bob@pbx.example>\r\n\
    Contact: <sip:alice@198.51.100.23:5060;ob>;q=0.5;expires=60\r\n\
    Call-ID: 7d1f0a36c2b94e2f@198.51.100.23\r\n\
    CSeq: 20341 INVITE\r\n\
    Route: <sip:192.0.2.10:5060;lr>, <sip:[2001:db8::1];lr>\r\n\
    Supported: replaces, 100rel, timer\r\n\
    Expires: 300\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 5\r\n\r\nv=0\r\n";

/// All that a proxy looks at in a request.
fn read(bytes: &[u8]) {
    let message = Message::parse(bytes).unwrap();
    validate_request(&message).unwrap();
    validate_forward(&message, &[]).unwrap();
    validate_local(&message, &[]).unwrap();
    assert!(message.via().unwrap().unique_branch().is_some());
    assert!(message.from().unwrap().tag.is_some());
    assert!(
        message
            .to()
            .unwrap()
            .parse_uri()
            .unwrap()
            .user_unescaped()
            .is_some()
    );
    assert!(message.call_id().is_ok() && message.cseq().is_ok());
    assert_eq!(message.max_forwards(), Ok(Some(70)));
    assert_eq!(message.expires(), Ok(Some(300)));
    assert!(Uri::parse(message.request_uri().unwrap()).is_ok());
    assert_eq!(message.route().filter(|route| route.is_ok()).count(), 2);
    assert_eq!(message.tokens(HeaderId::Supported).count(), 3);
    assert!(
        matches!(message.contacts(), Ok(Contacts::List(contacts)) if contacts.clone().count() == 1)
    );
    assert_eq!(message.body(), b"v=0\r\n");
}

#[test]
fn counts_what_is_allocated() {
    assert_eq!(allocations(|| drop(Box::new(1))), 1);
}

#[test]
fn reading_a_message_allocates_nothing() {
    assert_eq!(allocations(|| read(INVITE)), 0);
}

#[test]
fn refusing_a_message_allocates_nothing() {
    for len in 0..INVITE.len() {
        assert_eq!(
            allocations(|| assert!(Message::parse(&INVITE[..len]).is_err())),
            0,
            "{len}"
        );
    }
}
