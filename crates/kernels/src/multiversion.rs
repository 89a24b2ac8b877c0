//! One body of ordinary Rust, compiled once for every instruction set.
//!
//! For loops that the compiler vectorises by itself, which is most of what moves memory. Kernels that must say which
//! registers they use implement [`crate::isa::Kernel`] instead. As the bodies hold no fused multiply-add and the
//! compiler neither reorders nor contracts floating point, every level gives the same bits.

/// Defines `fn name(level: Level, arguments...)` that runs the body with the instructions of `level`.
///
/// Whatever the body calls in its inner loops must be `#[inline(always)]`: a call that stays a call falls back to the
/// instructions that every CPU has.
macro_rules! multiversion {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident $(<$generic:ident : $bound:path>)? (
            $($argument:ident : $type:ty),* $(,)?
        ) $(-> $output:ty)? $body:block
    ) => {
        $(#[$meta])*
        $visibility fn $name $(<$generic: $bound>)? (
            level: $crate::isa::Level, $($argument: $type),*
        ) $(-> $output)? {
            #[inline(always)]
            fn portable $(<$generic: $bound>)? ($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2 $(<$generic: $bound>)? ($($argument: $type),*) $(-> $output)? {
                portable($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,avx512f,avx512vl,avx512dq,avx512bw")]
            fn avx512 $(<$generic: $bound>)? ($($argument: $type),*) $(-> $output)? {
                portable($($argument),*)
            }

            match level {
                // What every CPU of the target has includes NEON where there is such a level.
                $crate::isa::Level::Portable | $crate::isa::Level::Neon => portable($($argument),*),
                // SAFETY: a level other than `Portable` comes from `isa::level`, which checked the CPU.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Level::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Level::Avx512 => unsafe { avx512($($argument),*) },
                #[cfg(not(target_arch = "x86_64"))]
                $crate::isa::Level::Avx2 | $crate::isa::Level::Avx512 => {
                    unreachable!("`with_level` refuses a level that the CPU lacks")
                }
            }
        }
    };
}

pub(crate) use multiversion;
