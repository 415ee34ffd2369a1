//! Owns working as another user for a moment: the kernel then checks every access as that user, so that nothing is read or
//! written for an owner of data which that owner could not read or write alone. Credentials of a thread, never of the process:
//! other threads go on as they are. The interesting function is [`Owner::assume`].

use std::ffi::CString;
use std::io;
use std::marker::PhantomData;

use nix::unistd::{Gid, Uid, User, getgrouplist, setfsgid, setfsuid};
use rustix::process::{getegid, geteuid, getgroups};
use rustix::thread::set_thread_groups;

/// A user with its groups, looked up once for each run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    name: String,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// Why a user cannot be assumed.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// This machine does not know the name.
    #[error("user `{name}` does not exist on this machine")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The user database did not answer.
    #[error("user `{name}` cannot be looked up: {why}")]
    LookUp {
        /// The name.
        name: String,
        /// The reason.
        why: String,
    },
    /// Only root can work as somebody else.
    #[error("this process is not root and cannot work as user `{name}`")]
    NotRoot {
        /// The name.
        name: String,
    },
}

impl Owner {
    /// Looks a user up. None when this process runs as that user already.
    pub fn find(name: &str) -> Result<Option<Self>, OwnerError> {
        let lookup = |error: nix::Error| OwnerError::LookUp {
            name: name.to_owned(),
            why: error.to_string(),
        };
        let user = User::from_name(name)
            .map_err(lookup)?
            .ok_or_else(|| OwnerError::Unknown {
                name: name.to_owned(),
            })?;
        let own = geteuid();
        if user.uid.as_raw() == own.as_raw() {
            return Ok(None);
        }
        if !own.is_root() {
            return Err(OwnerError::NotRoot {
                name: name.to_owned(),
            });
        }
        Self::of(user).map(Some).map_err(lookup)
    }

    /// The owner of a file, when this process is root and the owner is not. Without an entry in the user database it has the
    /// file's group alone.
    pub fn of_file(uid: u32, gid: u32) -> Option<Self> {
        if uid == 0 || !geteuid().is_root() {
            return None;
        }
        let known = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let found = known.and_then(|user| Self::of(user).ok());
        Some(found.unwrap_or(Self {
            name: uid.to_string(),
            uid,
            gid,
            groups: vec![gid],
        }))
    }

    fn of(user: User) -> nix::Result<Self> {
        let name = CString::new(user.name.clone()).map_err(|_| nix::Error::EINVAL)?;
        let groups = getgrouplist(&name, user.gid)?;
        Ok(Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
            name: user.name,
        })
    }

    /// Its number.
    pub const fn uid(&self) -> u32 {
        self.uid
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it may give its files to this group.
    pub fn has_group(&self, gid: u32) -> bool {
        gid == self.gid || self.groups.contains(&gid)
    }

    /// Lets the calling thread access files as this user, without the privileges of root, until the answer is dropped. Threads
    /// that are started meanwhile stay so.
    pub fn assume(&self) -> io::Result<Assumed> {
        let before = Assumed {
            groups: getgroups()?,
            thread: PhantomData,
        };
        let groups: Vec<rustix::fs::Gid> = self
            .groups
            .iter()
            .map(|gid| rustix::fs::Gid::from_raw(*gid))
            .collect();
        set_thread_groups(&groups)?;
        set_fs_ids(self.uid, self.gid)?;
        Ok(before)
    }
}

/// As long as it lives, its thread works as another user.
#[derive(Debug)]
pub struct Assumed {
    groups: Vec<rustix::fs::Gid>,
    // Credentials belong to one thread: the value must not leave it.
    thread: PhantomData<*const ()>,
}

impl Drop for Assumed {
    fn drop(&mut self) {
        // The user first: it brings back the right to set the rest. A failure leaves less privilege, never more.
        let back = set_fs_ids(geteuid().as_raw(), getegid().as_raw())
            .and_then(|()| Ok(set_thread_groups(&self.groups)?));
        if let Err(error) = back {
            tracing::error!(event = "user_not_left", %error, "the thread cannot leave the user that it works as");
        }
    }
}

/// The calls report no failure; asking for a number that does not exist tells what is in force.
fn set_fs_ids(uid: u32, gid: u32) -> io::Result<()> {
    let nobody_at_all = u32::MAX;
    setfsgid(Gid::from_raw(gid));
    setfsuid(Uid::from_raw(uid));
    let active = (
        setfsuid(Uid::from_raw(nobody_at_all)).as_raw(),
        setfsgid(Gid::from_raw(nobody_at_all)).as_raw(),
    );
    if active == (uid, gid) {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::PermissionDenied))
    }
}

/// Works as `owner` while `work` runs; as this process when there is none.
pub fn working_as<T>(owner: Option<&Owner>, work: impl FnOnce() -> T) -> io::Result<T> {
    let assumed = owner.map(Owner::assume).transpose()?;
    let done = work();
    drop(assumed);
    Ok(done)
}
