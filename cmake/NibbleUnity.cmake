# A room (a folder) as one translation unit: a whole build takes a third of the processor time, one changed file
# takes its whole room. So it is for builds that nobody edits in: ./dev demo, ./dev test.
option(NIBBLE_UNITY "Compile each room as one file" OFF)

# nibble_unity(TARGET SOURCE...): kernels are islands and stay alone, and so do files with flags of their own.
function(nibble_unity target)
  if(NOT NIBBLE_UNITY)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  foreach(source ${ARGN})
    get_filename_component(room ${source} DIRECTORY)
    get_filename_component(room ${room} NAME)
    get_source_file_property(options ${source} COMPILE_OPTIONS)
    if(NOT options AND NOT source MATCHES "nibble/kernels/.*/")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${room})
    endif()
  endforeach()
  # What is included is no header here.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endfunction()
