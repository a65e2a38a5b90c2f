//! Enumerations that know all their members. If such a list were written by hand, a new member
//! could be missing from it.

/// Declares an enumeration without data, with the list of its members, in their order.
macro_rules! listed {
    ($(#[$outer:meta])* pub enum $name:ident { $($(#[$doc:meta])* $member:ident,)* }) => {
        $(#[$outer])*
        pub enum $name { $($(#[$doc])* $member,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$member,)*];
        }
    };
}

pub(crate) use listed;
