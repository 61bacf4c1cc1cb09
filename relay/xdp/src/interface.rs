//! What the system knows of a network interface: netdevice(7), by ioctl(2), which is unsafe.

use std::io;
use std::os::fd::AsRawFd;

use rustix::net::netdevice::index_to_name;

/// `struct ethtool_drvinfo`, as far as we read it, and room for the rest.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// `ETHTOOL_GDRVINFO` of linux/ethtool.h.
const GET_DRIVER_INFO: u32 = 3;

/// What drives an interface, such as `veth`.
///
/// # Errors
///
/// The system's, if there is no such interface, or if nothing is known of it.
pub fn driver_of(interface: &str) -> io::Result<String> {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0))?;
    let mut info = DriverInfo {
        command: GET_DRIVER_INFO,
        driver: [0; 32],
        rest: [0; 160],
    };
    let mut request = request_for(interface)?;
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    // JUSTIFICATION: no safe interface has this.
    // SAFETY: ioctl(2) with `SIOCETHTOOL` reads an `ifreq`, whose name ends with 0, and for this
    // command writes a `struct ethtool_drvinfo`, of 196 bytes, to the address in it; both outlive
    // the call, and nothing else refers to them.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let name = info.driver.split(|it| *it == 0).next().unwrap_or_default();
    debug_assert_eq!(info.rest.len(), 160);
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// The Ethernet address of an interface; the loopback interface has one of zeros.
pub(crate) fn ethernet_of(interface: u32) -> io::Result<[u8; 6]> {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0))?;
    let mut request = request_for(&index_to_name(&socket, interface)?)?;
    // JUSTIFICATION: no safe interface has this.
    // SAFETY: ioctl(2) with `SIOCGIFHWADDR` reads an `ifreq`, whose name ends with 0, and writes the
    // address into it; it outlives the call, and nothing else refers to it.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGIFHWADDR, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: netdevice(7): this is the part of the union that `SIOCGIFHWADDR` has written; and any
    // bytes are numbers.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    match address.sa_family {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => {
            let [a, b, c, d, e, f, ..] = address.sa_data.map(libc::c_char::to_ne_bytes);
            Ok([a[0], b[0], c[0], d[0], e[0], f[0]])
        }
        _ => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
    }
}

/// What ioctl(2) is asked about an interface with.
fn request_for(interface: &str) -> io::Result<libc::ifreq> {
    // SAFETY: an `ifreq` of zeros is one: it is numbers, arrays of them, and unions of such.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        // Signed or not is the platform's choice.
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(request)
}

/// linux/sockios.h.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
const SIOCGIFHWADDR: libc::Ioctl = 0x8927;

const _: () = assert!(size_of::<DriverInfo>() == 196);
