// The command: parses, runs one verb, and is one of the two places where errors are caught.
#pragma once

namespace nibble::cli {

/// What main() does: its streams, its signal handlers and its exit code are the process's.
/// Returns that code.
int run_command(int argc, char** argv);

}  // namespace nibble::cli
