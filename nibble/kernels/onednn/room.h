// oneDNN ends the process where it cannot have the memory for the code that it generates: so it is
// asked for first.
#pragma once

namespace nibble {

/// std::bad_alloc where the system would not give a product's generated code and its buffers.
void require_room_for_onednn();

}  // namespace nibble
