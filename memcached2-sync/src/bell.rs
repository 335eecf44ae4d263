//! What wakes a thread that waits for sockets.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::Wake;

/// A socket that gets ready to be read when its waker is woken. Both ends stay open as long as somebody may wake.
#[derive(Debug)]
pub(crate) struct Bell {
    rings: UnixStream,
    hears: UnixStream,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let (rings, hears) = UnixStream::pair()?;
        rings.set_nonblocking(true)?;
        hears.set_nonblocking(true)?;
        Ok(Self { rings, hears })
    }

    /// What to wait for.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.hears.as_fd()
    }

    /// Waits to be woken again.
    pub(crate) fn reset(&self) {
        // If there is more, it is ready at once.
        let _ = (&self.hears).read(&mut [0; 64]);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // If there is no room, it was woken often enough.
        let _ = (&self.rings).write(&[0]);
    }
}
