# job::test: the library on a fake kernel, in one archive of its own (include/job/test.h). The objects are the library's; what stands for
# the clock and for liburing is wrapped here, so the whole is linked without optimising across files.
file(GLOB sources CONFIGURE_DEPENDS lib/testkit/public/*.c)
add_library(job_testkit_public OBJECT EXCLUDE_FROM_ALL ${sources})
target_link_libraries(job_testkit_public PRIVATE job_flags)
set(JOB_TEST_OBJECT ${CMAKE_CURRENT_BINARY_DIR}/libjob_test.o)
set(objects ${JOB_OBJECTS} $<TARGET_OBJECTS:job_testkit> $<TARGET_OBJECTS:job_testkit_public>)
add_custom_command(
  OUTPUT ${JOB_TEST_OBJECT}
  COMMAND ${CMAKE_LINKER} -r --wrap=sys_io_uring_register --wrap=sys_clock_monotonic_ns -o ${JOB_TEST_OBJECT} ${objects}
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=job_* --remove-section=.gnu.lto_* ${JOB_TEST_OBJECT}
  DEPENDS ${objects}
  COMMAND_EXPAND_LISTS VERBATIM)
add_library(job_test STATIC ${JOB_TEST_OBJECT})
add_dependencies(job_test ${JOB_OBJECT_TARGETS} job_testkit job_testkit_public)
add_library(job::test ALIAS job_test)
set_target_properties(job_test PROPERTIES LINKER_LANGUAGE C EXPORT_NAME test)
target_include_directories(job_test PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(job_test PUBLIC Threads::Threads)
