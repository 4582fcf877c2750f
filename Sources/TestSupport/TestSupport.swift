// Room TestSupport: what the tests of several rooms share. No program links it.
//
//   Fixtures            folders, failures, the repository
//   PythonScript        commands of Tests/interop in a Python with the official library
//   StoreConformance    the rules of `ObjectStore`, for every store
//   RandomNumbers       one test at a time draws from the process's random numbers
//   FaultPlan           says which call fails
//   FaultyStore         an object store whose n-th call fails
//   FaultyFileSystem    a disk whose n-th system call fails, for LocalStore
//   RecordingFileSystem a disk that keeps every change in order
//   PowerCut            what such a disk may hold after a power cut at one of its changes
