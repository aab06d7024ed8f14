// Finds the text of a loaded object and the table of its functions.
//
// Callers: anyone, also where the loader's locks may be held. Blocks: never. Source: LSB Core,
// 10.6 (.eh_frame_hdr); _dl_find_object(3) of glibc 2.35.
#ifndef BOBBIN_WRAPPERS_WAYS_IN_OBJECT_TEXT_H_
#define BOBBIN_WRAPPERS_WAYS_IN_OBJECT_TEXT_H_

#include <cstdint>

#include "wrappers/ways_in/text_map.h"

namespace bobbin {

// Fills the functions of `text` from the .eh_frame_hdr at `table`. Returns: "" or what is wrong
// with it.
const char* ReadUnwindTable(uintptr_t table, CodeText* text);

// Finds the executable segment that holds `address`. Returns: false where no loaded object has it,
// or the object has no table of its functions.
bool FindObjectText(uintptr_t address, CodeText* text);

// The executable segment that holds `address`, without its functions. Returns: false as above.
bool FindExecutableSegment(uintptr_t address, uintptr_t* begin, uintptr_t* end);

}  // namespace bobbin

#endif  // BOBBIN_WRAPPERS_WAYS_IN_OBJECT_TEXT_H_
