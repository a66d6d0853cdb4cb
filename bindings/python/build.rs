//! macOS links a Python module only when it is told that Python has the rest.

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
