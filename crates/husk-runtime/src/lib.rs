//! Carries a plan out: effects on the host, the container's life, its terminal, errors, root filesystems.

pub mod elf;
pub mod ldcache;
pub mod rootfs;
pub mod shebang;
pub mod why_exec;
