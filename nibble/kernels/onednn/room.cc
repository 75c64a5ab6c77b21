#include "nibble/kernels/onednn/room.h"

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace nibble {

void require_room_for_onednn() {
  // The first product in f32 takes 6 MB at once, its buffers 2 more (2.6.3, measured).
  constexpr size_t kRoom = size_t{16} << 20;
  void* const room =
      mmap(nullptr, kRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) throw std::bad_alloc();
  munmap(room, kRoom);
}

}  // namespace nibble
