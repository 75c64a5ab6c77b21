// Files: mapped or read for input, written so that a name always stands for a complete file.
#pragma once

#include "nibble/core/atomic_file.h"
#include "nibble/core/atomic_folder.h"
#include "nibble/core/mapped_file.h"
#include "nibble/core/same_file.h"
#include "nibble/core/sigbus_guard.h"
