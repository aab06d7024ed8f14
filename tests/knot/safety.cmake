# Tests of what Knot promises while others are slow, hostile or unlucky (docs/knot/safety.md).
add_knot_test(clock_jump_test knot_parts knot_test_support)
add_knot_test(hostile_files_test knot_test_support)
add_knot_test(memory_faults_test knot_parts knot_test_support)
target_sources(knot_memory_faults_test PRIVATE ${CMAKE_SOURCE_DIR}/knot/tuning_kernel_threads.cc)
add_knot_test(room_test knot_parts knot_test_support)

# What is tested in Python runs each binary by a test of its own: knot.NAME.KernelThreads, knot.NAME.Bobbin.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
function(add_knot_python_test name file)
  foreach(target knot-kernel-threads knot)
    if(NOT TARGET ${target})
      continue()
    endif()
    set(binary Bobbin)
    if(target STREQUAL knot-kernel-threads)
      set(binary KernelThreads)
    endif()
    add_test(NAME knot.${name}.${binary}
      COMMAND ${CMAKE_COMMAND} -E env PYTHONDONTWRITEBYTECODE=1 ${Python3_EXECUTABLE}
        ${CMAKE_CURRENT_SOURCE_DIR}/${file} $<TARGET_FILE:${target}> ${ARGN})
    set_tests_properties(knot.${name}.${binary} PROPERTIES
      LABELS knot TIMEOUT 900 SKIP_RETURN_CODE 77)
  endforeach()
endfunction()

add_knot_python_test(Attacks attacks_test.py)
add_knot_python_test(Descriptors descriptors_test.py 300)
if(BOBBIN_SANITIZE)
  add_knot_python_test(Faults faults_test.py sanitized)
else()
  add_knot_python_test(Faults faults_test.py -)
  # Threads and descriptors by the ten thousands: too many for a sanitizer's memory.
  add_knot_python_test(TwentyThousandThreads descriptors_test.py 20000)
endif()
