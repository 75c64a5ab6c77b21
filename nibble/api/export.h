// What a shared libnibble shows: a name with NIBBLE_API, and no other.
#pragma once

#define NIBBLE_API __attribute__((visibility("default")))
