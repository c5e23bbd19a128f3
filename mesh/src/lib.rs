//! A client-side service mesh.
