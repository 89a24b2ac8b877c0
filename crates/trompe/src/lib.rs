//! trompe
